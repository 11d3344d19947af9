import { expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { add, mul, neg, split } from "../ops/index.ts";
import { constant, input, leaves, scalar, type Tensor, topological } from "./tensor.ts";

test("sizes of an input take their canonical form", () => {
  expect(input("x", "f32", ["N+1", "L*B", 2]).shape).toEqual(["1+N", "B*L", 2]);
  expect(() => input("x", "f32", ["B-1"])).toThrow(ShapeError);
  expect(() => input("x", "f32", [-1])).toThrow('input "x": -1 is no size');
});

test("nodes come after what they read, each once", () => {
  const x = input("x", "f32", [2]);
  const a = neg(x);
  const b = mul(a, a);
  const c = add(b, a);
  const order = topological([c, b]);
  expect(order).toEqual([a.node, b.node, c.node]);
  expect(leaves([c, x])).toEqual([x]);
});

test("leaves come in order of first use", () => {
  const [x, y] = [input("x", "f32", []), input("y", "f32", [])];
  const one = scalar(1);
  expect(leaves([add(mul(y, one), x)])).toEqual([y, one, x]);
});

test("a hundred thousand nodes in a row are walked without a deep stack", () => {
  let t: Tensor = input("x", "f32", []);
  for (let i = 0; i < 100_000; i++) t = neg(t);
  expect(topological([t])).toHaveLength(100_000);
});

test("say what they are", () => {
  expect(`${input("x", "i64", ["B", 2])}`).toBe("input: i64 [B, 2]");
  expect(`${neg(constant(f32([1], [2])))}`).toBe("neg: f32 [1]");
  const [, second] = split.outputs(constant(f32([3], [1, 2, 3])), { axis: 0, sizes: [1, 2] });
  expect(second!.shape).toEqual([2]);
  expect(second!.rank).toBe(1);
});

test("a scalar is of the dtype that is asked for", () => {
  expect(scalar(3, "i64").origin).toMatchObject({ value: { data: BigInt64Array.of(3n) } });
});
