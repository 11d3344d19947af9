import { describe, expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { drawDropPath, drawKeptPatches } from "./noise.ts";

const rowsOf = (data: BigInt64Array, width: number) =>
  Array.from({ length: data.length / width }, (_, r) =>
    Array.from(data.subarray(r * width, (r + 1) * width), Number),
  );

describe("drawKeptPatches", () => {
  test("rows of different indices in ascending order", () => {
    const kept = drawKeptPatches(new Rng(1), 50, 20, 7);
    expect(kept.shape).toEqual([50, 7]);
    for (const row of rowsOf(kept.data, 7)) {
      expect(row).toEqual([...new Set(row)].sort((a, b) => a - b));
      expect(Math.min(...row)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...row)).toBeLessThan(20);
    }
  });

  test("every patch is kept equally often", () => {
    const [batch, patches, keep] = [3000, 16, 4];
    const counts = new Array<number>(patches).fill(0);
    for (const i of drawKeptPatches(new Rng("counts"), batch, patches, keep).data) counts[Number(i)]!++;
    const expected = (batch * keep) / patches;
    // Five standard deviations of a binomial count.
    const allowed = 5 * Math.sqrt(expected * (1 - keep / patches));
    for (const count of counts) expect(Math.abs(count - expected)).toBeLessThan(allowed);
  });

  test("rows are drawn apart from each other", () => {
    const rows = rowsOf(drawKeptPatches(new Rng(2), 40, 64, 20).data, 20).map(String);
    expect(new Set(rows).size).toBe(40);
  });

  test("keeping all keeps all, also where indices pass 16 bits", () => {
    expect(rowsOf(drawKeptPatches(new Rng(3), 2, 5, 5).data, 5)).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
    ]);
    const all = drawKeptPatches(new Rng(3), 1, 70_000, 70_000).data;
    expect(all.at(-1)).toBe(69_999n);
  });

  test("the same generator gives the same patches, another one others", () => {
    const draw = (seed: string) => drawKeptPatches(new Rng(seed), 8, 64, 32).data;
    expect(draw("a")).toEqual(draw("a"));
    expect(draw("a")).not.toEqual(draw("b"));
  });
});

describe("drawDropPath", () => {
  test("drops at the rate, and what stays keeps the mean at 1", () => {
    const { shape, data } = drawDropPath(new Rng(4), 100, 200, 0.2);
    expect(shape).toEqual([100, 200, 1, 1]);
    const dropped = data.filter((x) => x === 0).length / data.length;
    expect(dropped).toBeGreaterThan(0.185);
    expect(dropped).toBeLessThan(0.215);
    expect(new Set(data)).toEqual(new Set([0, Math.fround(1.25)]));
  });

  test("rate 0 drops nothing", () => {
    expect(new Set(drawDropPath(new Rng(5), 4, 8, 0).data)).toEqual(new Set([1]));
  });

  test("the same generator gives the same noise", () => {
    const draw = (seed: number) => drawDropPath(new Rng(seed), 6, 9, 0.5).data;
    expect(draw(6)).toEqual(draw(6));
    expect(draw(6)).not.toEqual(draw(7));
  });
});
