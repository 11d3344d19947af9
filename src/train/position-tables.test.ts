import { expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { Param } from "../graph/tensor.ts";
import { interpolatePositions } from "../models/interpolate-positions.ts";
import { fitPositionTables } from "./position-tables.ts";

const KEY = "vision_model.embeddings.position_embedding";
const ramp = (shape: number[]) =>
  f32(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)),
  );
const params = (side: number) =>
  new Map([
    ["w", new Param([2], { kind: "zeros" })],
    [KEY, new Param([1, 1 + side ** 2, 3], { kind: "zeros" })],
  ]);
const state = new Map([
  ["w", ramp([2])],
  [KEY, ramp([1, 10, 3])],
  ["adam.m.w", ramp([2])],
  [`adam.m.${KEY}`, ramp([1, 10, 3])],
  [`adam.v.${KEY}`, ramp([1, 10, 3])],
]);

test("a table of the model's own size is passed on with its moments", () => {
  expect(fitPositionTables(state, params(3))).toEqual(state);
});

test("another size: the value is interpolated, its moments start at zero, the rest stays", () => {
  const fitted = fitPositionTables(state, params(5));
  expect(fitted.get(KEY)).toEqual(interpolatePositions(state.get(KEY)!, 5));
  for (const name of [`adam.m.${KEY}`, `adam.v.${KEY}`])
    expect(fitted.get(name)).toEqual(f32([1, 26, 3], new Float32Array(78)));
  for (const name of ["w", "adam.m.w"]) expect(fitted.get(name)).toBe(state.get(name));
});
