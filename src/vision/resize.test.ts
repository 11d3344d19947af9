import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import type { RgbImage } from "./image.ts";
import { crop, type ResizeFilter, resize } from "./resize.ts";

interface Case {
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
  readonly filter: ResizeFilter;
  readonly pixels: string;
}

/** Made by test/parity/make_pictures.py with Pillow. */
const golden = JSON.parse(
  readFileSync(new URL("../../test/parity/golden/pictures.json", import.meta.url), "utf8"),
) as { resize: Case[]; box: { pixels: string } };

/** The same picture as `pattern` of make_pictures.py. */
function pattern(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    const c = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    const edge = (Math.floor(x / 8) + Math.floor(y / 8) + c) % 2 === 0 ? 255 : 0;
    const noise = (x * x * 7 + y * y * 13 + x * y * 5 + c * 101) % 256;
    data[i] = x % 24 < 8 ? edge : y < Math.floor(height / 4) ? 37 * (c + 1) : noise;
  }
  return { width, height, data };
}

const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));

test.each(golden.resize)("equals Pillow, $filter from $from to $to", ({ from, to, filter, pixels }) => {
  expect(resize(pattern(...from), ...to, { filter }).data).toEqual(bytes(pixels));
});

test("a box is resized as if it had been cut out first", () => {
  const picture = pattern(61, 47);
  const box = { x: 7, y: 5, width: 33, height: 28 };
  const boxed = resize(picture, 16, 16, { box });
  expect(boxed.data).toEqual(bytes(golden.box.pixels));
  expect(boxed).toEqual(resize(crop(picture, box), 16, 16));
});

test("the same size is a copy", () => {
  const picture = pattern(9, 7);
  const same = resize(picture, 9, 7);
  expect(same).toEqual(picture);
  expect(same.data).not.toBe(picture.data);
});

test.each([
  ["a size of 0", 0, 4, undefined],
  ["a broken size", 4, 1.5, undefined],
  ["a box beyond the right edge", 4, 4, { x: 5, y: 0, width: 5, height: 7 }],
  ["a box left of the picture", 4, 4, { x: -1, y: 0, width: 5, height: 7 }],
  ["an empty box", 4, 4, { x: 0, y: 0, width: 0, height: 7 }],
])("refuses %s", (_, width, height, box) => {
  expect(() => resize(pattern(9, 7), width, height, box && { box })).toThrow(MediaError);
});
