import { expect, test } from "vitest";
import { i64 } from "../../src/core/array.ts";
import { input } from "../../src/graph/tensor.ts";
import { emit } from "../../src/onnx/emit.ts";
import { joinRows, mul, splitRows } from "../../src/ops/index.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import { normals } from "../evaluate.ts";

/** More than two steps of seven parts. */
const COUNT = 60;

test("rows are cut and put together in steps of few parts for a GPU, to what they are at once", async () => {
  const sizes = Array.from({ length: COUNT }, (_, e) => (e * 5) % 4);
  const total = sizes.reduce((a, b) => a + b);
  const counts = input("counts", "i64", [COUNT]);
  const named = { sizes: sizes.map((_, e) => `n${e}`) };
  const parts = splitRows.outputs(input("rows", "f32", ["n", 3]), counts, named);
  const y = joinRows(counts, ...parts.map((part, e) => mul(part, e + 1)), { size: "n" });
  const { bytes } = emit({ y }, { device: "webgpu" });
  expect(bytes).not.toEqual(emit({ y }).bytes);
  await using runtime = await createRuntime({ threads: 1 });
  await using session = await runtime.session(bytes);
  const rows = normals("rows", [total, 3]);
  const found = (await session.run({ rows, counts: i64([COUNT], sizes) })).y!;
  const factors = sizes.flatMap((n, e) => new Array(3 * n).fill(e + 1));
  expect([...found.data]).toEqual([...rows.data].map((v, i) => Math.fround(v * factors[i])));
});
