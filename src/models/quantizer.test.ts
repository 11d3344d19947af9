import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { castFloat, f32, toF32 } from "../core/array.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dequantizeBlocks } from "../weights/block-quantized.ts";
import { Quantizer } from "./quantizer.ts";

let runtime: Runtime;
let quantizer: Quantizer;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
  quantizer = new Quantizer(runtime);
});
afterAll(async () => {
  await quantizer[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

const specs = fc.record({
  bits: fc.constantFrom<4 | 8>(4, 8),
  blockSize: fc.constantFrom(16, 32, 128),
});
const size = fc.integer({ min: 1, max: 300 });
const dtypes = fc.constantFrom<"f32" | "f16" | "bf16">("f32", "f16", "bf16");

function weight(N: number, K: number, seed: number, scale = 1) {
  const rng = new Rng(seed);
  return f32(
    [N, K],
    Float32Array.from({ length: N * K }, () => rng.normal() * scale),
  );
}

const POISONS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** A weight of 3 × 20 with one number in row 2 that is none. */
function poisoned(bad: number) {
  const w = weight(3, 20, 1);
  w.data[45] = bad;
  return w;
}

describe("blocks", () => {
  test("every weight comes back within half a step, one step on the side that the largest is not on", async () => {
    await fc.assert(
      fc.asyncProperty(
        specs,
        dtypes,
        fc.integer({ min: 1, max: 4 }),
        size,
        fc.nat(),
        async (spec, dtype, N, K, seed) => {
          const w = castFloat(weight(N, K, seed, 10 ** ((seed % 9) - 4)), dtype);
          const { codes, scales } = await quantizer.blocks(w, spec, "w");
          const { bits, blockSize } = spec;
          const blocks = Math.ceil(K / blockSize);
          expect(codes.shape).toEqual([N, blocks, (blockSize * bits) / 8]);
          expect(scales.shape).toEqual([N, blocks]);
          const back = dequantizeBlocks({ ...spec, codes: codes as never, scales, N, K }).data;
          for (const [i, v] of toF32(w).data.entries()) {
            const step = Math.abs(scales.data[Math.floor(i / K) * blocks + Math.floor((i % K) / blockSize)]!);
            const isInside = Math.abs(v) <= step * (2 ** (bits - 1) - 1);
            expect(Math.abs(back[i]! - v)).toBeLessThanOrEqual(step * (isInside ? 0.501 : 1.001));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("codes are packed low half first, what is filled up is the code of zero", async () => {
    const row = [-8, -7, 0, 7, ...new Array(13).fill(1)];
    const four = await quantizer.blocks(f32([1, 17], row), { bits: 4, blockSize: 16 }, "w");
    expect(four.scales.data).toEqual(Float32Array.of(1, -1 / 8));
    const first = [0x10, 0xf8, ...new Array(6).fill(0x99)];
    expect([...four.codes.data]).toEqual([...first, 0x80, ...new Array(7).fill(0x88)]);
    const eight = await quantizer.blocks(f32([1, 17], row), { bits: 8, blockSize: 16 }, "w");
    expect([...eight.codes.data.subarray(16)]).toEqual([0, ...new Array(15).fill(128)]);
  });

  test("a weight that takes several runs is the rows of each", async () => {
    const w = weight(530, 4096, 7);
    const whole = await quantizer.blocks(w, { bits: 4, blockSize: 32 }, "w");
    const last = await quantizer.blocks(
      f32([1, 4096], w.data.subarray(529 * 4096)),
      { bits: 4, blockSize: 32 },
      "w",
    );
    expect(whole.codes.data.subarray(529 * 2048)).toEqual(last.codes.data);
    expect(whole.scales.data.subarray(529 * 128)).toEqual(last.scales.data);
  });

  test("a row of zeros stays zero", async () => {
    await fc.assert(
      fc.asyncProperty(specs, async (spec) => {
        const { codes, scales } = await quantizer.blocks(f32([2, 40], new Float32Array(80)), spec, "w");
        const back = dequantizeBlocks({ ...spec, codes: codes as never, scales, N: 2, K: 40 });
        expect(back.data.every((x) => x === 0)).toBe(true);
      }),
      { numRuns: 10 },
    );
  });

  test.each(POISONS)("refuses a weight that is %d, with its name and row", async (bad) => {
    const quantizing = quantizer.blocks(poisoned(bad), { bits: 8, blockSize: 16 }, "layers.3.fc1.weight");
    await expect(quantizing).rejects.toThrow(CheckpointError);
    await expect(quantizing).rejects.toThrow(
      "row 2 of layers.3.fc1.weight [3, 20] holds NaN, infinity or a value",
    );
  });

  test("refuses what is storage only", async () => {
    const w = { dtype: "f8_e4m3", shape: [1, 16], data: new Uint8Array(16) } as const;
    const quantizing = quantizer.blocks(w, { bits: 8, blockSize: 16 }, "fc1");
    await expect(quantizing).rejects.toThrow(CheckpointError);
    await expect(quantizing).rejects.toThrow("fc1 is stored as f8_e4m3");
  });

  test("tiny weights are quantised as others", async () => {
    const w = f32([1, 32], weight(1, 32, 5, 1e-38).data);
    const { codes, scales } = await quantizer.channels(w, "w");
    expect([...codes.data].every((c) => Math.abs(c) <= 127)).toBe(true);
    for (const [k, v] of w.data.entries())
      expect(Math.abs(codes.data[k]! * scales.data[0]! - v)).toBeLessThan(1e-39);
  });

  test("refuses what is no matrix", async () => {
    const quantizing = quantizer.blocks(f32([4], [1, 2, 3, 4]), { bits: 4, blockSize: 16 }, "fc1");
    await expect(quantizing).rejects.toThrow(ShapeError);
    await expect(quantizing).rejects.toThrow("expected fc1 as [N, K], found [4]");
  });
});

describe("channels", () => {
  test("every weight comes back within half a step of its output's scale, the largest exactly", async () => {
    await fc.assert(
      fc.asyncProperty(size, size, dtypes, fc.nat(), async (N, K, dtype, seed) => {
        const w = castFloat(weight(N, K, seed, 10 ** ((seed % 9) - 4)), dtype);
        const { codes, scales } = await quantizer.channels(w, "w");
        expect([codes.shape, scales.shape]).toEqual([[K, N], [N]]);
        const values = toF32(w).data;
        for (let n = 0; n < N; n++) {
          const step = scales.data[n]!;
          const row = [...values.subarray(n * K, (n + 1) * K)];
          for (const [k, v] of row.entries())
            expect(Math.abs(codes.data[k * N + n]! * step - v)).toBeLessThanOrEqual(step * 0.5001);
          expect((step * 127) / Math.max(...row.map(Math.abs))).toBeCloseTo(1, 6);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("an output without weight stays zero", async () => {
    const { codes, scales } = await quantizer.channels(f32([2, 3], [0, 0, 0, 1, -2, 0.5]), "w");
    expect([...codes.data]).toEqual([0, 64, 0, -127, 0, 32]);
    expect(scales.data[0]).toBe(0);
  });

  test("of several runs lie side by side", async () => {
    const w = weight(1100, 2048, 3);
    const { codes, scales } = await quantizer.channels(w, "w");
    for (const n of [0, 1023, 1024, 1099]) {
      const one = await quantizer.channels(f32([1, 2048], w.data.subarray(n * 2048, (n + 1) * 2048)), "w");
      expect(scales.data[n]).toBe(one.scales.data[0]);
      expect(Array.from({ length: 2048 }, (_, k) => codes.data[k * 1100 + n])).toEqual([...one.codes.data]);
    }
  });

  test.each(POISONS)("refuses a weight that is %d", async (bad) => {
    const quantizing = quantizer.channels(poisoned(bad), "fc1.weight");
    await expect(quantizing).rejects.toThrow("row 2 of fc1.weight [3, 20] holds NaN, infinity");
  });
});
