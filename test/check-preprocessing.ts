/**
 * Compares preprocessing with Pillow's on a picture that is not part of the repository:
 *
 *     npx tsx test/check-preprocessing.ts DIR
 *
 * DIR holds image1.jpg and preprocessing.safetensors with the arrays retrieval_224 and classification_224: what
 * Pillow made of the picture, normalised, f32 [3, 224, 224]. Prints the distances in grey levels (0-255) for both
 * ways of resampling and exits 1 where one is larger than allowed.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toF32 } from "../src/core/array.ts";
import { isUserError, UsageError } from "../src/core/errors.ts";
import type { Framing } from "../src/vision/image.ts";
import { IMAGENET_STD, normalize } from "../src/vision/normalize.ts";
import { type LoadOptions, loadForModel } from "../src/vision/preprocess.node.ts";
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

/** Distances of normalised planes, converted back to grey levels. */
function greyDistances(ours: Float32Array, theirs: Float32Array) {
  const plane = ours.length / 3;
  const sorted = Array.from(
    ours,
    (v, i) => Math.abs(v - theirs[i]!) * IMAGENET_STD[Math.floor(i / plane)]! * 255,
  ).sort((a, b) => a - b);
  return {
    mean: sorted.reduce((sum, d) => sum + d, 0) / sorted.length,
    p99: sorted[Math.floor(sorted.length * 0.99)]!,
    max: sorted.at(-1)!,
  };
}

async function main(folder: string | undefined): Promise<boolean> {
  if (folder === undefined) throw new UsageError("usage: npx tsx test/check-preprocessing.ts DIR");
  const { tensors } = await openSafetensors(join(folder, "preprocessing.safetensors"));
  let good = true;
  for (const [array, framing] of PROTOCOLS)
    for (const resample of ["exact", "auto"] as const) {
      const source = tensors.get(array);
      if (!source) throw new UsageError(`preprocessing.safetensors: expected the array ${array}, found none`);
      const theirs = toF32(await readTensor(source)).data;
      const options: LoadOptions = { size: 224, framing, resample };
      const ours = normalize([await loadForModel(join(folder, "image1.jpg"), options)]).data;
      if (ours.length !== theirs.length)
        throw new UsageError(`${array}: expected ${ours.length} values, found ${theirs.length}`);
      const found = greyDistances(ours, theirs);
      const limit = ALLOWED[resample];
      const ok = found.mean <= limit.mean && found.p99 <= limit.p99 && found.max <= limit.max;
      good &&= ok;
      const numbers = Object.entries(found).map(([name, v]) => `${name} ${v.toFixed(4)}`);
      console.log(`${ok ? "ok  " : "FAIL"} ${array} ${resample}: ${numbers.join(", ")}`);
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
