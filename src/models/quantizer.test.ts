import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { dequantizeBlocks, type QuantizeOptions, quantizeBlocks } from "./quantize.ts";

const options = fc.record({
  bits: fc.constantFrom<QuantizeOptions["bits"]>(4, 8),
  blockSize: fc.constantFrom<QuantizeOptions["blockSize"]>(16, 32, 64, 128, 256),
  zeroPoints: fc.boolean(),
});

function weight(N: number, K: number, seed: number, scale = 1) {
  const rng = new Rng(seed);
  return f32(
    [N, K],
    Float32Array.from({ length: N * K }, () => rng.normal() * scale),
  );
}

describe("quantizeBlocks", () => {
  test("every weight comes back within half a step, one step where a symmetric block is lopsided", () => {
    fc.assert(
      fc.property(
        options,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 300 }),
        fc.nat(),
        (o, N, K, seed) => {
          const w = weight(N, K, seed, 10 ** ((seed % 9) - 4));
          const q = quantizeBlocks(w, o);
          const back = dequantizeBlocks(q);
          const blocks = Math.ceil(K / o.blockSize);
          expect(q.codes.shape).toEqual([N, blocks, (o.blockSize * o.bits) / 8]);
          expect(q.scales.shape).toEqual([N, blocks]);
          expect(q.zeroPoints?.shape).toEqual(
            o.zeroPoints ? [N, Math.ceil((blocks * o.bits) / 8)] : undefined,
          );
          for (let i = 0; i < w.data.length; i++) {
            const block = Math.floor(i / K) * blocks + Math.floor((i % K) / o.blockSize);
            const step = Math.abs(q.scales.data[block]!);
            expect(Math.abs(back.data[i]! - w.data[i]!)).toBeLessThanOrEqual(step * 1.001);
            const top = step * (2 ** (o.bits - 1) - 1);
            if (!o.zeroPoints && Math.abs(w.data[i]!) <= top)
              expect(Math.abs(back.data[i]! - w.data[i]!)).toBeLessThanOrEqual(step * 0.501);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("codes are packed low half first, padding is the code of zero", () => {
    const row = [-8, -7, 0, 7, ...new Array(13).fill(1)];
    const q = quantizeBlocks(f32([1, 17], row), { bits: 4, blockSize: 16 });
    expect(q.scales.data).toEqual(Float32Array.of(1, -1 / 8));
    expect([...q.codes.data]).toEqual([
      0x10,
      0xf8,
      ...new Array(6).fill(0x99),
      0x80,
      ...new Array(7).fill(0x88),
    ]);
    const wide = quantizeBlocks(f32([1, 17], row), { bits: 8, blockSize: 16 });
    expect([...wide.codes.data.subarray(16)]).toEqual([0, ...new Array(15).fill(128)]);
  });

  test("zero points are packed as codes are", () => {
    const rows = [
      ...new Array(16).fill(-1),
      ...new Array(16).fill(3),
      ...new Array(16).fill(-1),
      ...new Array(48).fill(0),
    ];
    const q = quantizeBlocks(f32([2, 48], rows), { bits: 4, blockSize: 16, zeroPoints: true });
    expect([...q.zeroPoints!.data]).toEqual([0x0f, 0x0f, 0, 0]);
    expect([...dequantizeBlocks(q).data].map((x) => Math.round(x * 1e6) / 1e6)).toEqual(rows);
  });

  test("a row of zeros stays zero, whatever the form", () => {
    fc.assert(
      fc.property(options, (o) => {
        const back = dequantizeBlocks(quantizeBlocks(f32([2, 40], new Float32Array(80)), o));
        expect(back.data.every((x) => x === 0)).toBe(true);
      }),
    );
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "refuses a weight that is %d",
    (bad) => {
      const w = weight(3, 20, 1);
      w.data[45] = bad;
      for (const zeroPoints of [false, true])
        expect(() => quantizeBlocks(w, { bits: 8, blockSize: 16, zeroPoints })).toThrow(
          new CheckpointError(
            "quantizeBlocks: row 2 of the weight [3, 20] holds NaN, infinity or a value too large; check the file",
          ),
        );
    },
  );

  test("refuses what is no matrix", () =>
    expect(() => quantizeBlocks(f32([4], [1, 2, 3, 4]), { bits: 4, blockSize: 16 })).toThrow(ShapeError));

  test("names the weight that it refuses", () => {
    const options = { bits: 4, blockSize: 16, name: "layers.3.fc1.weight" } as const;
    expect(() => quantizeBlocks(f32([1, 1], [Number.NaN]), options)).toThrow(
      "row 0 of layers.3.fc1.weight [1, 1] holds NaN",
    );
    expect(() => quantizeBlocks(f32([1], [1]), options)).toThrow("expected layers.3.fc1.weight as [N, K]");
  });
});
