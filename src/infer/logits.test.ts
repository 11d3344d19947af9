import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RuntimeFailure } from "../core/errors.ts";
import { argmax, decay, logSumExp, penalizeRepetition, topIndices } from "./logits.ts";

const rows = fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 40 });

describe("logits", () => {
  test("argmax is the first of equal ones", () => {
    expect(argmax(Float32Array.from([1, 3, 2, 3]))).toBe(1);
    expect(argmax(Float32Array.from([-Infinity, Number.NaN]))).toBe(-1);
  });

  test("decay is the exponential function", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 43.9, noNaN: true }), (depth) => {
        expect(Math.abs(decay(depth) / Math.exp(-depth) - 1)).toBeLessThan(2e-11);
      }),
    );
    expect([decay(0), decay(44), decay(Infinity), decay(Number.NaN)]).toEqual([1, 0, 0, 0]);
  });

  test("logSumExp", () => {
    fc.assert(
      fc.property(rows, (values) => {
        const plain = Math.log(values.reduce((sum, x) => sum + Math.exp(x), 0));
        expect(logSumExp(Float32Array.from(values))).toBeCloseTo(plain, 9);
      }),
    );
    expect(logSumExp(Float32Array.from([-Infinity, 2]))).toBe(2);
    for (const bad of [[Number.NaN, 1], [Infinity, 1], [-Infinity], []])
      expect(() => logSumExp(Float32Array.from(bad))).toThrow(RuntimeFailure);
  });

  test("topIndices are the first of a stable sort", () => {
    const few = fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 30 });
    fc.assert(
      fc.property(few, fc.integer({ min: 1, max: 12 }), (values, n) => {
        const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
        expect(topIndices(Float32Array.from(values), n)).toEqual(sorted.slice(0, n));
      }),
    );
  });

  test("a repetition penalty makes both signs less likely", () => {
    const scores = Float32Array.from([4, -4, 4, 0]);
    penalizeRepetition(scores, [0, 1, 3, 99], 2);
    expect([...scores]).toEqual([2, -8, 4, 0]);
  });
});
