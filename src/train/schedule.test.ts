import { describe, expect, test } from "vitest";
import { cosineWithWarmup } from "./schedule.ts";

describe("cosineWithWarmup", () => {
  test("rises in equal steps to the peak, which the last step of the warm-up has", () => {
    expect([0, 1, 2, 3].map((step) => cosineWithWarmup(step, 4, 100))).toEqual([0.25, 0.5, 0.75, 1]);
  });

  test("falls along half a cosine to 0", () => {
    expect(cosineWithWarmup(4, 4, 104)).toBe(1);
    expect(cosineWithWarmup(29, 4, 104)).toBeCloseTo(0.5 * (1 + Math.SQRT1_2), 12);
    expect(cosineWithWarmup(54, 4, 104)).toBeCloseTo(0.5, 12);
    expect(cosineWithWarmup(104, 4, 104)).toBeCloseTo(0, 12);
  });

  test("never rises after the warm-up and stays at 0 behind the end", () => {
    const factors = Array.from({ length: 30 }, (_, i) => cosineWithWarmup(i + 5, 5, 25));
    for (let i = 1; i < factors.length; i++) expect(factors[i]!).toBeLessThanOrEqual(factors[i - 1]!);
    expect(factors.at(-1)).toBeCloseTo(0, 12);
  });

  test("without a warm-up it begins at the peak, also where that is the only step", () => {
    expect(cosineWithWarmup(0, 0, 10)).toBe(1);
    expect(cosineWithWarmup(0, 0, 1)).toBe(1);
    expect(cosineWithWarmup(1, 2, 2)).toBe(1);
  });
});
