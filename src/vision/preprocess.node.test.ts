import { readFileSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { decodeImage } from "./decode.node.ts";
import { loadForModel, loadShorterSide } from "./preprocess.node.ts";
import { resize } from "./resize.ts";

const goldenFolder = new URL("../../test/parity/golden/", import.meta.url);
/** 1210×871, so that "auto" takes the native path. */
const scene = readFileSync(new URL("scene.jpg", goldenFolder));
const golden = (
  JSON.parse(readFileSync(new URL("pictures.json", goldenFolder), "utf8")) as {
    scene: { size: number; squash: string; crop: string };
  }
).scene;

function distances(a: Uint8Array, b: Uint8Array): { mean: number; p99: number; max: number } {
  expect(a.length).toBe(b.length);
  const all = Array.from(a, (v, i) => Math.abs(v - b[i]!)).sort((x, y) => x - y);
  return {
    mean: all.reduce((sum, d) => sum + d, 0) / all.length,
    p99: all[Math.floor(all.length * 0.99)]!,
    max: all.at(-1)!,
  };
}

describe.each(["squash", "crop"] as const)("%s against Pillow", (framing) => {
  const pillow = new Uint8Array(Buffer.from(golden[framing], "base64"));

  test("exact: every byte", async () => {
    const image = await loadForModel(scene, { size: golden.size, framing, resample: "exact" });
    expect([image.width, image.height]).toEqual([golden.size, golden.size]);
    expect(distances(image.data, pillow)).toEqual({ mean: 0, p99: 0, max: 0 });
  });

  test("auto, large picture: within the native library's rounding", async () => {
    const image = await loadForModel(scene, { size: golden.size, framing });
    const { mean, p99, max } = distances(image.data, pillow);
    expect(mean).toBeGreaterThan(0); // else the native path was not taken and this test proves nothing
    expect(mean).toBeLessThan(0.5);
    expect(p99).toBeLessThanOrEqual(2);
    // Decoding at a fraction of the size (see render) would give three times as much.
    expect(max).toBeLessThanOrEqual(5);
  });
});

test("small pictures and enlargements are exact without asking", async () => {
  const small = await sharp(scene).resize(90, 70, { fit: "fill" }).png().toBuffer();
  const decoded = await decodeImage(small);
  for (const size of [32, 80, 224]) {
    const image = await loadForModel(small, { size, framing: "squash" });
    expect(image).toEqual(resize(decoded, size, size));
  }
  // Large but to be enlarged in one direction: the native library would shift it by half a pixel.
  const wide = await sharp(scene).resize(12_000, 100, { fit: "fill" }).png().toBuffer();
  const image = await loadForModel(wide, { size: 224, framing: "squash" });
  expect(image).toEqual(resize(await decodeImage(wide), 224, 224));
});

test("EXIF orientation comes before framing", async () => {
  const turned = await sharp(scene).rotate(-90).withMetadata({ orientation: 6 }).png().toBuffer();
  const straight = await sharp(scene).png().toBuffer();
  const exact = { size: 64, framing: "crop", resample: "exact" } as const;
  expect(await loadForModel(turned, exact)).toEqual(await loadForModel(straight, exact));
  // The native library turns after shrinking, so rows and columns are rounded in the other order.
  const auto = { size: 64, framing: "crop" } as const;
  const apart = distances((await loadForModel(turned, auto)).data, (await loadForModel(straight, auto)).data);
  expect(apart.mean).toBeLessThan(0.5);
  expect(apart.max).toBeLessThanOrEqual(5);
});

test("transparent large pictures are laid on white before they are shrunk", async () => {
  const clear = await sharp({
    create: { width: 1800, height: 1600, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
  })
    .png()
    .toBuffer();
  const image = await loadForModel(clear, { size: 32, framing: "squash" });
  expect(new Set(image.data)).toEqual(new Set([255]));
});

test("a small drawing is drawn sharp, not enlarged from its pixels", async () => {
  const icon = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="8" fill="#000"/></svg>',
  );
  const { data } = await loadForModel(icon, { size: 64, framing: "squash" });
  const row = Array.from({ length: 64 }, (_, x) => data[(32 * 64 + x) * 3]!);
  expect(row.slice(0, 30)).toEqual(new Array(30).fill(0));
  expect(row.slice(34)).toEqual(new Array(30).fill(255));
});

test("a line is squashed, and refused where cropping would make it a sheet", async () => {
  const line = await sharp({ create: { width: 1, height: 8000, channels: 3, background: "#445566" } })
    .png()
    .toBuffer();
  const image = await loadForModel(line, { size: 16, framing: "squash" });
  expect(Array.from(image.data.subarray(0, 3))).toEqual([0x44, 0x55, 0x66]);
  await expect(loadForModel(line, { size: 224, framing: "crop" })).rejects.toThrow(MediaError);
});

describe("loadShorterSide", () => {
  test("shrinks to the side and keeps the proportions", async () => {
    const image = await loadShorterSide(scene, 96);
    expect([image.width, image.height]).toEqual([133, 96]); // int(96 * 1210 / 871)
  });

  test("leaves small pictures as they are", async () => {
    const small = await sharp(scene).resize(90, 70, { fit: "fill" }).png().toBuffer();
    expect(await loadShorterSide(small, 96)).toEqual(await decodeImage(small));
  });
});
