import { expect, test } from "vitest";
import { fpsOf } from "./video-frames.ts";

test("frames per second from times with gaps, rounded as WebM does", () => {
  const at = (fps: number, frames: number[]) => frames.map((k) => Math.round((k * 1000) / fps) / 1000);
  expect(fpsOf(at(10, [0, 1, 2, 3, 4]))).toBeCloseTo(10, 6);
  expect(fpsOf(at(30, [0, 1, 2, 4, 5, 6, 9, 10, 11, 12]))).toBeCloseTo(30, 0);
  expect(fpsOf(at(10, [0, 1, 2]))).toBeUndefined();
  expect(fpsOf([])).toBeUndefined();
});
