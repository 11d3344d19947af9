import { expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { planEpoch, stepsPerEpoch } from "./epoch.ts";

const items = (weights: readonly number[], groups?: readonly number[]) => ({
  weights: Float64Array.from(weights),
  groups: Int32Array.from(groups ?? weights.map((_, i) => i)),
});
const ones = (n: number) => new Array<number>(n).fill(1);

const batchesOf = (plan: Int32Array, size: number) =>
  Array.from({ length: plan.length / size }, (_, b) => Array.from(plan.subarray(b * size, (b + 1) * size)));

test("weights of 1 make a permutation, less the remainder", () => {
  const plan = planEpoch(items(ones(100)), 10, new Rng(1));
  expect([...plan].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect([...plan]).not.toEqual(Array.from({ length: 100 }, (_, i) => i));
  const cut = planEpoch(items(ones(103)), 10, new Rng(1));
  expect(cut.length).toBe(100);
  expect(new Set(cut).size).toBe(100);
});

test("the seed decides the order", () => {
  const plan = (seed: number) => [...planEpoch(items(ones(50)), 5, new Rng(seed))];
  expect(plan(1)).toEqual(plan(1));
  expect(plan(1)).not.toEqual(plan(2));
});

test("weights decide how often, and always for as many steps as announced", () => {
  const weights = [...ones(20), 2, 0.25, 0, 1.5, 0.1, 0.15];
  const counts = new Array<number>(weights.length).fill(0);
  const epochs = 400;
  for (let e = 0; e < epochs; e++) {
    const plan = planEpoch(items(weights), 4, new Rng(e));
    expect(plan.length).toBe(4 * stepsPerEpoch(Float64Array.from(weights), 4));
    for (const i of plan) counts[i]!++;
  }
  // 24 of the weights' sum of 24 are drawn; one that is drawn twice may lose its second place in a batch's remainder.
  weights.forEach((w, i) => {
    expect(counts[i]! / epochs).toBeGreaterThanOrEqual(w - 0.1);
    expect(counts[i]! / epochs).toBeLessThanOrEqual(w + 0.1);
  });
  expect(counts[22]).toBe(0);
  expect(stepsPerEpoch(Float64Array.from(new Array(10).fill(0.1)), 1)).toBe(1);
});

test("two of a group share a batch only where nothing else is left", () => {
  // 40 items in 20 groups of 2, batches of 10: always possible apart.
  const pairs = Array.from({ length: 40 }, (_, i) => i >> 1);
  for (let seed = 0; seed < 50; seed++)
    for (const batch of batchesOf(planEpoch(items(ones(40), pairs), 10, new Rng(seed)), 10).slice(0, -1))
      expect(new Set(batch.map((i) => pairs[i])).size).toBe(10);
  // Half of all items are one group: every batch is full nonetheless, and nothing is lost or doubled.
  const lump = Array.from({ length: 40 }, (_, i) => (i < 20 ? 0 : i));
  const plan = planEpoch(items(ones(40), lump), 10, new Rng(5));
  expect(new Set(plan).size).toBe(40);
  const one = planEpoch(items(ones(40), new Array(40).fill(0)), 10, new Rng(5));
  expect(new Set(one).size).toBe(40);
});
