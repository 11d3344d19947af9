import fc from "fast-check";
import { expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { dequantizeChannels, quantizeChannels } from "./quantize-channels.ts";

test("every weight comes back within half a step of its output's scale, the largest exactly", () => {
  const size = fc.integer({ min: 1, max: 150 });
  fc.assert(
    fc.property(size, size, fc.nat(), (N, K, seed) => {
      const rng = new Rng(seed);
      const w = f32(
        [N, K],
        Float32Array.from({ length: N * K }, () => rng.normal() * 10 ** ((seed % 9) - 4)),
      );
      const q = quantizeChannels(w);
      expect([q.codes.shape, q.scales.shape]).toEqual([[K, N], [N]]);
      const back = dequantizeChannels(q);
      for (let n = 0; n < N; n++) {
        const step = q.scales.data[n]!;
        const row = [...w.data.subarray(n * K, (n + 1) * K)];
        row.forEach((v, k) => {
          expect(Math.abs(back.data[n * K + k]! - v)).toBeLessThanOrEqual(step * 0.5001);
        });
        expect((step * 127) / Math.max(...row.map(Math.abs))).toBeCloseTo(1, 6);
      }
    }),
    { numRuns: 40 },
  );
});

test("an output without weight stays zero", () => {
  const back = dequantizeChannels(quantizeChannels(f32([2, 3], [0, 0, 0, 1, -2, 0.5])));
  expect([...back.data.subarray(0, 3)]).toEqual([0, 0, 0]);
});

test("what is no matrix or not finite is refused, with its name", () => {
  expect(() => quantizeChannels(f32([2], [1, 2]), "fc1.weight")).toThrow(ShapeError);
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const quantize = () => quantizeChannels(f32([2, 2], [1, 2, bad, 4]), "fc1.weight");
    expect(quantize).toThrow(CheckpointError);
    expect(quantize).toThrow("row 1 of fc1.weight [2, 2] holds NaN or infinity");
  }
});
