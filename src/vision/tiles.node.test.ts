import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { ConfigError, MediaError } from "../core/errors.ts";
import { decodeImage, TooLargeError } from "./decode.node.ts";
import type { RgbImage } from "./image.ts";
import { packU8 } from "./normalize.ts";
import { loadTiles, tileImage } from "./tiles.node.ts";
import { TILING, tilePicture } from "./tiling.ts";

const root = new URL("../../", import.meta.url);
const file = (path: string) => fileURLToPath(new URL(path, root));
const SCENE = "test/parity/golden/scene.jpg";
const scene = readFileSync(file(SCENE));

/** Sums of R, G and B of every tile, by Pillow 13.0.0: `python test/parity/make_tiles.py`. */
// biome-ignore format: a table
const PILLOW: readonly (readonly [path: string, side: number, sums: readonly (readonly number[])[]])[] = [
  ["gallery/animals/cat-face.webp", 64, [
    [1041083, 972632, 844135], [1037453, 1015515, 970933], [1037411, 980414, 848595],
    [1006127, 785724, 504164], [986445, 701609, 260372], [1040392, 911699, 604011],
    [1007908, 792981, 687235], [964653, 585463, 531084], [1032539, 838625, 707823],
    [1017029, 842494, 661634],
  ]],
  ["gallery/food/pizza.webp", 160, [
    [6456896, 5868800, 5259116], [6489103, 5279575, 4244977], [6466127, 5787485, 5355143],
    [6474006, 5312995, 4061874], [6471447, 5562040, 4730049],
  ]],
  ["gallery/places/castle.webp", 448, [
    [45981875, 41054123, 44336239],
  ]],
  ["test/parity/golden/scene.jpg", 64, [
    [454515, 573936, 511671], [500855, 464318, 609245], [495804, 576011, 473341], [540652, 458465, 561054],
    [578950, 485457, 578563], [427223, 521442, 439340], [524227, 433641, 526222], [440437, 540951, 448255],
    [415389, 526616, 470401], [607830, 495795, 542240], [390534, 501316, 459643], [612322, 504637, 547515],
    [499067, 506880, 513929],
  ]],
  ["test/parity/golden/scene.jpg", 448, [
    [22270461, 28123200, 25072139], [24544317, 22751762, 29853592], [24294617, 28223348, 23194492],
    [26490283, 22464627, 27491691], [28369176, 23789028, 28351319], [20931957, 25548267, 21525610],
    [25684890, 21243712, 25781345], [21583565, 26509388, 21966607], [20355042, 25806851, 23050612],
    [29783792, 24294662, 26568680], [19133327, 24562316, 22520202], [30007721, 24727115, 26828242],
    [24454362, 24837258, 25184118],
  ]],
];

const sums = ({ data }: RgbImage): number[] => {
  const total = [0, 0, 0];
  for (let i = 0; i < data.length; i++) total[i % 3]! += data[i]!;
  return total;
};

/** By bytes: comparing element by element takes a minute for twelve tiles. */
function expectSame(ours: readonly RgbImage[], theirs: readonly RgbImage[]): void {
  expect(ours.map(({ width, height }) => [width, height])).toEqual(
    theirs.map(({ width, height }) => [width, height]),
  );
  expect(ours.map(({ data }, i) => Buffer.compare(data, theirs[i]!.data))).toEqual(ours.map(() => 0));
}

function distances(ours: readonly RgbImage[], theirs: readonly RgbImage[]): { mean: number; max: number } {
  const [a, b] = [packU8(ours).data, packU8(theirs).data];
  expect(a.length).toBe(b.length);
  let sum = 0;
  let max = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i]! - b[i]!);
    sum += apart;
    max = Math.max(max, apart);
  }
  return { mean: sum / a.length, max };
}

describe("against Pillow", () => {
  test.each(PILLOW)("%s in tiles of %d pixels", async (path, side, expected) => {
    const tiling = { ...TILING, force_image_size: side };
    const { tiles, width, height } = await loadTiles(file(path), tiling, { resample: "exact" });
    expect([width, height]).toEqual(path === SCENE ? [1210, 871] : [256, 256]);
    expect(tiles.map(sums)).toEqual(expected);
    expect(packU8(tiles).shape).toEqual([expected.length, side, side, 3]);
    const image = await decodeImage(file(path));
    expectSame(tiles, tilePicture(image, tiling));
  });

  test("auto shrinks large pictures natively, within a grey level", async () => {
    const tiling = { ...TILING, force_image_size: 64 };
    const [auto, exact] = await Promise.all(
      (["auto", "exact"] as const).map((resample) => loadTiles(scene, tiling, { resample })),
    );
    const { mean, max } = distances(auto!.tiles, exact!.tiles);
    expect(mean).toBeGreaterThan(0); // else the native way was not taken and this test proves nothing
    expect(mean).toBeLessThan(0.5);
    expect(max).toBeLessThanOrEqual(6);
  });

  test("auto enlarges exactly", async () => {
    // 1210 pixels become 1792, 871 become 1344; only the thumbnail is smaller than the picture.
    const [auto, exact] = await Promise.all(
      (["auto", "exact"] as const).map((resample) => loadTiles(scene, TILING, { resample })),
    );
    expectSame(auto!.tiles.slice(0, 12), exact!.tiles.slice(0, 12));
    expect(distances(auto!.tiles.slice(12), exact!.tiles.slice(12)).mean).toBeLessThan(0.5);
  });
});

describe('the published programs\' convert("RGB")', () => {
  const size = { ...TILING, force_image_size: 1 };
  const first = async (bytes: Uint8Array, options = {}) =>
    Array.from((await loadTiles(bytes, { ...size, max_dynamic_patch: 1 }, options)).tiles[0]!.data);
  const clear = (r: number, g: number, b: number) =>
    sharp({ create: { width: 1, height: 1, channels: 4, background: { r, g, b, alpha: 0 } } });

  test("drops alpha; white is what is asked for", async () => {
    // Not through `create`: a colour without opacity is stored as black.
    const hidden = await sharp(Buffer.from([10, 20, 30, 0]), { raw: { width: 1, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect(await first(hidden)).toEqual([10, 20, 30]);
    expect(await first(hidden, { alpha: "white" })).toEqual([255, 255, 255]);
    expect(await first(hidden, { alpha: undefined })).toEqual([10, 20, 30]);
    expect(await first(await clear(0, 0, 0).gif().toBuffer())).toEqual([0, 0, 0]);
  });

  test("comes before resizing: hidden colours are mixed as if they were seen", async () => {
    const halves = Buffer.from([200, 0, 0, 0, 0, 0, 100, 255]);
    const png = await sharp(halves, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect(await first(png)).toEqual([100, 0, 50]);
  });

  // Pillow: Image.open(p).convert("RGB") of an image of mode P whose palette begins (10, 20, 30), (200, 100, 50), with
  // a tRNS chunk that makes the first colour transparent, gives (10, 20, 30), (200, 100, 50).
  test("of a palette with transparency gives the palette's colours", async () => {
    const palette = Buffer.from(
      "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABAQMAAADO7O3JAAAABlBMVEUKFB7IZDJ3oLOcAAAAAXRSTlMAQObYZgAAAApJREFUeJxjcAAAAEIAQSk39O8AAAAASUVORK5CYII=",
      "base64",
    );
    expect(palette[25]).toBe(3); // PNG's colour type of a palette
    expect((await sharp(palette).metadata()).hasAlpha).toBe(true);
    expect(Array.from((await decodeImage(palette, { alpha: "drop" })).data)).toEqual([
      10, 20, 30, 200, 100, 50,
    ]);
    expect(Array.from((await decodeImage(palette)).data)).toEqual([255, 255, 255, 200, 100, 50]);
  });
});

test("EXIF orientation is applied, or not where the published behaviour is asked for", async () => {
  const turned = await sharp(scene)
    .resize(96, 48, { fit: "fill" })
    .withMetadata({ orientation: 6 })
    .png()
    .toBuffer();
  const tiling = { ...TILING, force_image_size: 16 };
  const upright = await loadTiles(turned, tiling);
  expect([upright.width, upright.height, upright.tiles.length]).toEqual([48, 96, 9]);
  const stored = await loadTiles(turned, tiling, { orientation: "stored" });
  expect([stored.width, stored.height, stored.tiles.length]).toEqual([96, 48, 9]);
  const straight = await sharp(turned).png().toBuffer();
  expectSame(stored.tiles, (await loadTiles(straight, tiling)).tiles);
});

test("one tile: squashed, or padded with the colour that is asked for", async () => {
  const image = await decodeImage(await sharp(scene).resize(40, 10, { fit: "fill" }).png().toBuffer());
  const tiling = { ...TILING, force_image_size: 20, dynamic_image_size: false };
  expectSame(await tileImage(image, tiling), tilePicture(image, tiling));
  const padded = await tileImage(image, { ...tiling, pad2square: true }, { padColour: [1, 2, 3] });
  expectSame(padded, tilePicture(image, { ...tiling, pad2square: true }, [1, 2, 3]));
  expect(Array.from(padded[0]!.data.subarray(0, 3))).toEqual([1, 2, 3]);
});

test("a drawing is as a picture whose shorter side is two tiles", async () => {
  const icon = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="8"><rect width="8" height="8"/></svg>',
  );
  const { width, height, tiles } = await loadTiles(icon, { ...TILING, force_image_size: 32 });
  expect([width, height]).toEqual([128, 64]);
  expect(tiles).toHaveLength(9); // 4×2 and the thumbnail
  // What is not drawn has no colour but transparent black: alpha is not dropped here.
  expect(pixels(tiles[0]!)).toEqual(new Set(["0,0,0"]));
  expect(pixels(tiles[3]!)).toEqual(new Set(["255,255,255"]));
});

const pixels = ({ data }: RgbImage): Set<string> =>
  new Set(Array.from({ length: data.length / 3 }, (_, i) => data.subarray(i * 3, i * 3 + 3).join()));

test("limits hold, and a tiling that cannot be is refused before decoding", async () => {
  await expect(loadTiles(scene, TILING, { maxPixels: 1e6 })).rejects.toThrow(TooLargeError);
  await expect(loadTiles(scene, TILING, { maxBytes: 1000 })).rejects.toThrow(TooLargeError);
  await expect(loadTiles(scene, { ...TILING, max_dynamic_patch: 0 })).rejects.toThrow(ConfigError);
  await expect(loadTiles(scene.subarray(0, 5000), TILING)).rejects.toThrow(MediaError);
});

test("other work gets its turn while a picture is resized exactly", async () => {
  const image = await decodeImage(scene);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await tileImage(image, TILING, { resample: "exact" });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(4);
});
