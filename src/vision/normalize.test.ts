import { expect, test } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { IMAGENET_MEAN, IMAGENET_STD, normalize, packU8 } from "./normalize.ts";

const image = (width: number, height: number, start = 0) => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (start + i * 7) % 256),
});

test("planes follow each other, scaled by the statistics of their channel", () => {
  const images = [image(3, 2), image(3, 2, 100)];
  const { shape, data } = normalize(images);
  expect(shape).toEqual([2, 3, 2, 3]);
  for (let b = 0; b < 2; b++)
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < 6; i++) {
        const expected = (images[b]!.data[i * 3 + c]! / 255 - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]!;
        expect(data[(b * 3 + c) * 6 + i]).toBeCloseTo(expected, 6);
      }
});

test("white is what torchvision makes of it, to the last bit", () => {
  const white = { width: 1, height: 1, data: new Uint8Array([255, 255, 255]) };
  // ToTensor and Normalize of torch 2.13: float32 of (1 - mean) / std, each step in float32.
  expect(Array.from(normalize([white]).data)).toEqual([
    2.2489082813262939, 2.4285714626312256, 2.6400001049041748,
  ]);
});

test("packing keeps the bytes", () => {
  const packed = packU8([image(2, 2), image(2, 2, 50)]);
  expect(packed.shape).toEqual([2, 2, 2, 3]);
  expect(Array.from(packed.data)).toEqual([...image(2, 2).data, ...image(2, 2, 50).data]);
});

test("refuses mixed sizes, lying sizes and nothing, and names the pictures", () => {
  expect(() => packU8([image(2, 2), image(3, 2), image(2, 3)])).toThrow(/picture 1 is 3×2.*picture 2 is 2×3/);
  expect(() => normalize([image(2, 2), { ...image(2, 2), data: new Uint8Array(5) }])).toThrow(
    /picture 1 is 2×2 with 5 bytes/,
  );
  expect(() => normalize([])).toThrow(ShapeError);
});
