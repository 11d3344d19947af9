import { expect, test } from "vitest";
import { evaluate } from "../../test/evaluate.ts";
import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { input, scalar } from "../graph/tensor.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import { contrastiveLoss } from "./losses.ts";

const loss = (a: (number | string)[], b: (number | string)[]) =>
  contrastiveLoss(input("a", "f32", a), input("b", "f32", b), scalar(1));

test("equal pairs in orthogonal directions: every row is a softmax over scale and zeros", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  const directions = f32([3, 3], [2, 0, 0, 0, 5, 0, 0, 0, 0.1]);
  const y = contrastiveLoss(input("a", "f32", [3, 3]), input("b", "f32", [3, 3]), scalar(2));
  const result = await evaluate(runtime, { y }, { feeds: { a: directions, b: directions } });
  expect(Number(result.y!.data[0])).toBeCloseTo(-Math.log(Math.exp(2) / (Math.exp(2) + 2)), 5);
});

test("batches that differ or are unknown are refused", () => {
  expect(() => loss([3, 4], [2, 4])).toThrow(ShapeError);
  expect(() => loss([3, 4], [2, 4])).toThrow('dims "B B": B must be 3');
  expect(() => loss(["B", 4], ["B", 4])).toThrow("contrastiveLoss: the shape [B] must be known here");
});
