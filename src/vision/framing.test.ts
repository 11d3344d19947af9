import { expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { checkFrame, frameImage, planFrame, roundHalfEven } from "./framing.ts";

test.each([
  [0.5, 0],
  [1.5, 2],
  [2.5, 2],
  [3.5, 4],
  [-0.5, 0],
  [-1.5, -2],
  [2.4999, 2],
  [7, 7],
])("rounds %d to %d, as Python does", (x, rounded) => {
  expect(roundHalfEven(x) + 0).toBe(rounded);
});

test("squash forgets the proportions", () => {
  expect(planFrame(1000, 747, 224, "squash")).toEqual({
    width: 224,
    height: 224,
    cut: { x: 0, y: 0, width: 224, height: 224 },
  });
});

// Widths by torchvision: int(S * long / short), offsets int(round((L - S) / 2)).
test.each([
  [1000, 747, 299, 224, 38, 0], // (299 - 224) / 2 = 37.5 -> 38
  [747, 1000, 224, 299, 0, 38],
  [640, 490, 292, 224, 34, 0],
  [297, 224, 297, 224, 36, 0], // 36.5 -> 36
  [224, 224, 224, 224, 0, 0],
])("crop of %d×%d", (w, h, width, height, x, y) => {
  const size = 224;
  expect(planFrame(w, h, size, "crop")).toEqual({ width, height, cut: { x, y, width: size, height: size } });
});

test("crop keeps the middle of a wide picture", () => {
  const data = Uint8Array.from({ length: 6 * 2 * 3 }, (_, i) => Math.floor(i / 3) % 6);
  const framed = frameImage({ width: 6, height: 2, data }, 2, "crop");
  expect(Array.from(framed.data)).toEqual([2, 2, 2, 3, 3, 3, 2, 2, 2, 3, 3, 3]);
});

test("refuses to enlarge a line to a sheet", () => {
  expect(() => checkFrame("line.png", planFrame(1, 60_000, 448, "crop"), 64e6)).toThrow(
    /line\.png: .*448×26880000/,
  );
  expect(() => checkFrame("line.png", planFrame(1, 60_000, 448, "crop"), 64e6)).toThrow(MediaError);
});
