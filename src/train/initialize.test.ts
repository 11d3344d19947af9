import { expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { Param } from "../graph/tensor.ts";
import { initialize } from "./initialize.ts";

const params = new Map([
  ["zero", new Param([3, 2], { kind: "zeros" })],
  ["one", new Param([4], { kind: "constant", value: 0.1 })],
  ["scalar", new Param([], { kind: "constant", value: 2.5 })],
  ["normal", new Param([100, 200], { kind: "trunc_normal", std: 0.02 })],
]);

test("zeros and constants, in f32 and in the parameter's shape", () => {
  const weights = initialize(params, new Rng(0));
  expect([...weights.keys()]).toEqual([...params.keys()]);
  for (const [key, { dtype, shape }] of weights) {
    expect(dtype).toBe("f32");
    expect(shape).toEqual(params.get(key)!.shape);
  }
  expect([...weights.get("zero")!.data]).toEqual([0, 0, 0, 0, 0, 0]);
  expect([...weights.get("one")!.data]).toEqual(new Array(4).fill(Math.fround(0.1)));
  expect([...weights.get("scalar")!.data]).toEqual([2.5]);
});

test("truncated normals lie within two deviations and have the spread of that distribution", () => {
  const values = initialize(params, new Rng(0)).get("normal")!.data as Float32Array;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
  expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(Math.fround(0.04));
  expect(Math.abs(mean)).toBeLessThan(5e-4);
  // A standard normal cut at ±2 has the deviation 0.8796.
  expect(deviation / 0.02).toBeGreaterThan(0.86);
  expect(deviation / 0.02).toBeLessThan(0.9);
});

test("a key's weights depend on the seed and its name, not on the parameters beside it", () => {
  const all = initialize(params, new Rng("s")).get("normal");
  const alone = initialize(new Map([["normal", params.get("normal")!]]), new Rng("s")).get("normal");
  expect(alone).toEqual(all);
  expect(initialize(params, new Rng("t")).get("normal")).not.toEqual(all);
  const renamed = initialize(new Map([["other", params.get("normal")!]]), new Rng("s")).get("other");
  expect(renamed!.data).not.toEqual(all!.data);
});
