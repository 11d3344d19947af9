/**
 * Compares preprocessing with Pillow's on a picture that is not part of the repository:
 *
 *     npx tsx test/check-preprocessing.ts DIR
 *
 * DIR holds image1.jpg and preprocessing.safetensors with what Pillow made of the picture, normalised, f32:
 * retrieval_224 and classification_224 [3, 224, 224]; of the tiles of a chat model (12 at most, and the thumbnail)
 * tiles_448_mean [N, 3], tiles_448_corner [N, 3, 8, 8] and tiles_56 [N, 3, 56, 56], each tile resized once more. Its
 * tiling_cases_w_h_max_cols_rows i64 [cases, 5] are choices of grids. Prints the distances in grey levels (0-255) for
 * both ways of resampling and exits 1 where one is larger than allowed.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type HostTensor, toF32 } from "../src/core/array.ts";
import { isUserError, UsageError } from "../src/core/errors.ts";
import type { Framing, RgbImage } from "../src/vision/image.ts";
import { IMAGENET_MEAN, IMAGENET_STD, normalize } from "../src/vision/normalize.ts";
import { type LoadOptions, loadForModel } from "../src/vision/preprocess.node.ts";
import { crop, resize } from "../src/vision/resize.ts";
import { loadTiles } from "../src/vision/tiles.node.ts";
import { chooseGrid, TILING } from "../src/vision/tiling.ts";
import { readTensor } from "../src/weights/file-range.node.ts";
import { openSafetensors } from "../src/weights/safetensors.node.ts";

/** Grey levels: the exact way may only differ by float rounding, the native way by what was measured for it. */
const ALLOWED = {
  exact: { mean: 0.001, p99: 0.001, max: 0.001 },
  auto: { mean: 0.35, p99: 1.001, max: 4.001 },
} as const;

const PROTOCOLS: readonly (readonly [array: string, framing: Framing])[] = [
  ["retrieval_224", "squash"],
  ["classification_224", "crop"],
];

const WAYS = ["exact", "auto"] as const;
type Way = (typeof WAYS)[number];

/** Reads arrays of preprocessing.safetensors by name. */
type Read = (array: string) => Promise<HostTensor>;

interface Verdict {
  readonly ok: boolean;
  readonly line: string;
}

/** Distances of normalised values, converted back to grey levels; `area`: values of one channel in a row. */
function compare(name: string, way: Way, ours: Float32Array, theirs: Float32Array, area: number): Verdict {
  if (ours.length !== theirs.length)
    throw new UsageError(`${name}: expected ${ours.length} values, found ${theirs.length}`);
  const sorted = Array.from(
    ours,
    (v, i) => Math.abs(v - theirs[i]!) * IMAGENET_STD[Math.floor(i / area) % 3]! * 255,
  ).sort((a, b) => a - b);
  const found = {
    mean: sorted.reduce((sum, d) => sum + d, 0) / sorted.length,
    p99: sorted[Math.floor(sorted.length * 0.99)]!,
    max: sorted.at(-1)!,
  };
  const limit = ALLOWED[way];
  const ok = found.mean <= limit.mean && found.p99 <= limit.p99 && found.max <= limit.max;
  const numbers = Object.entries(found).map(([what, v]) => `${what} ${v.toFixed(4)}`);
  return { ok, line: `${name} ${way}: ${numbers.join(", ")}` };
}

async function* checkFraming(picture: string, read: Read): AsyncGenerator<Verdict> {
  for (const [array, framing] of PROTOCOLS)
    for (const resample of WAYS) {
      const theirs = toF32(await read(array)).data;
      const options: LoadOptions = { size: 224, framing, resample };
      const ours = normalize([await loadForModel(picture, options)]).data;
      yield compare(array, resample, ours, theirs, 224 * 224);
    }
}

async function* checkTiles(picture: string, read: Read): AsyncGenerator<Verdict> {
  const means = toF32(await read("tiles_448_mean")).data;
  const corners = toF32(await read("tiles_448_corner")).data;
  const small = toF32(await read("tiles_56")).data;
  for (const resample of WAYS) {
    const { tiles } = await loadTiles(picture, TILING, { resample });
    const ours = Float32Array.from(tiles.flatMap(channelMeans));
    yield compare("tiles_448_mean", resample, ours, means, 1);
    const corner = { x: 0, y: 0, width: 8, height: 8 };
    const cut = normalize(tiles.map((tile) => crop(tile, corner))).data;
    yield compare("tiles_448_corner", resample, cut, corners, 8 * 8);
    const shrunk = normalize(tiles.map((tile) => resize(tile, 56, 56))).data;
    yield compare("tiles_56", resample, shrunk, small, 56 * 56);
  }
}

/** The normalised means of R, G and B. */
const channelMeans = ({ data }: RgbImage): number[] =>
  [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = c; i < data.length; i += 3) sum += data[i]!;
    return (sum / (data.length / 3) / 255 - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]!;
  });

async function* checkGrids(read: Read): AsyncGenerator<Verdict> {
  const array = "tiling_cases_w_h_max_cols_rows";
  const values = Array.from((await read(array)).data, Number);
  const cases = values.length / 5;
  let right = 0;
  for (let i = 0; i < cases; i++) {
    const [width, height, most, columns, rows] = values.slice(i * 5, i * 5 + 5);
    const grid = chooseGrid(width!, height!, { size: TILING.force_image_size, least: 1, most: most! });
    if (grid.columns === columns && grid.rows === rows) right++;
  }
  yield { ok: cases > 0 && right === cases, line: `${array}: ${right} of ${cases} grids` };
}

async function main(folder: string | undefined): Promise<boolean> {
  if (folder === undefined) throw new UsageError("usage: npx tsx test/check-preprocessing.ts DIR");
  const { tensors } = await openSafetensors(join(folder, "preprocessing.safetensors"));
  const picture = join(folder, "image1.jpg");
  const read: Read = async (array) => {
    const source = tensors.get(array);
    if (!source) throw new UsageError(`preprocessing.safetensors: expected the array ${array}, found none`);
    return readTensor(source);
  };
  let good = true;
  for (const verdicts of [checkFraming(picture, read), checkTiles(picture, read), checkGrids(read)])
    for await (const { ok, line } of verdicts) {
      good &&= ok;
      console.log(`${ok ? "ok  " : "FAIL"} ${line}`);
    }
  return good;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  main(process.argv[2]).then(
    (good) => {
      process.exitCode = good ? 0 : 1;
    },
    (error: unknown) => {
      console.error(isUserError(error) ? error.message : error);
      process.exitCode = 2;
    },
  );
