import { expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { indexPackets, type PacketTimes } from "./frame-index.ts";

/** An open group: I0 P3 B1 B2, I6 B4 B5 (shown before I6 but stored after it), P8 B7; units of 1/10 s, first at 20. */
const packets: PacketTimes[] = [0, 3, 1, 2, 6, 4, 5, 8, 7].map((shown, i) => ({
  pts: 20 + shown,
  dts: 18 + i,
  key: shown === 0 || shown === 6,
}));

test("frames are ordered by the time at which they are shown", () => {
  const index = indexPackets("a.mp4", packets, 0.1);
  expect(Array.from(index.pts)).toEqual([20, 21, 22, 23, 24, 25, 26, 27, 28]);
  expect(index.timesS[0]).toBe(0);
  expect(index.timesS[8]).toBeCloseTo(0.8, 12);
  expect(index.firstDts).toBe(18);
});

test("decoding begins at the last key frame that is not shown later", () => {
  const { keyBefore } = indexPackets("a.mp4", packets, 0.1);
  expect([20, 23, 25, 26, 28].map((pts) => keyBefore(pts).pts)).toEqual([20, 20, 20, 26, 26]);
  expect(keyBefore(28).dts).toBe(22);
});

test("without a key frame before, decoding begins with the first packet", () => {
  const { keyBefore } = indexPackets("a.mp4", packets.slice(1), 0.1);
  expect(keyBefore(21)).toMatchObject({ pts: 21, dts: 19 });
});

test.each([0, Number.NaN, Number.POSITIVE_INFINITY])("refuses units of %d s", (unit) => {
  expect(() => indexPackets("a.mp4", packets, unit)).toThrow(MediaError);
});
