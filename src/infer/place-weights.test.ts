import { expect, test } from "vitest";
import type { DType } from "../core/dtype.ts";
import { usualPrecision } from "./place-weights.ts";

const checkpoint = (...tensors: readonly (readonly [DType, ...number[]])[]) => ({
  tensors: new Map(
    tensors.map(([dtype, ...shape], i) => [`t${i}`, { dtype, shape, file: "model.safetensors", offset: 0 }]),
  ),
});

test("a hundred million float weights are kept in 8 bits where nothing is said, in any float dtype", () => {
  expect(usualPrecision(checkpoint(["bf16", 10_000, 9_999], ["f32", 10_000]))).toBe("w8");
  expect(usualPrecision(checkpoint(["f16", 20_000, 10_000]))).toBe("w8");
});

test("fewer, and weights that are quantised already, stay as in the file", () => {
  expect(usualPrecision(checkpoint(["bf16", 10_000, 9_999], ["f32", 9_999]))).toBeUndefined();
  expect(usualPrecision(checkpoint(["f8_e4m3", 20_000, 10_000], ["bf16", 10]))).toBeUndefined();
  expect(usualPrecision(checkpoint(["u8", 20_000, 10_000], ["f16", 20_000, 10_000]))).toBeUndefined();
});
