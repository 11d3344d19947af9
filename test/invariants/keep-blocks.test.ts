import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { f32, type HostTensor, toF32 } from "../../src/core/array.ts";
import { ConfigError, ShapeError } from "../../src/core/errors.ts";
import { input, type Tensor } from "../../src/graph/tensor.ts";
import { keepBlocks } from "../../src/models/keep-blocks.ts";
import { applyPrecision } from "../../src/models/precision.ts";
import { Linear } from "../../src/nn/layers.ts";
import { Module, parameters } from "../../src/nn/module.ts";
import { QuantizedLinear } from "../../src/nn/quantized.ts";
import { matmulOffsetBlocks } from "../../src/ops/index.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { Runtime, TensorSource } from "../../src/runtime/runtime.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import blocks from "../../src/weights/fixtures/ggml-blocks.json" with { type: "json" };
import { type BlockTensor, isBlockTensor, sourceOf } from "../../src/weights/ggml-rows.ts";
import { GGML_TYPES } from "../../src/weights/ggml-types.ts";
import { expectClose } from "../close.ts";
import { evaluate, normals } from "../evaluate.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g)!, (h) => Number.parseInt(h, 16));

/** A weight whose rows are one block each, and its values by the Python package gguf. */
function matrix(name: keyof typeof blocks): {
  source: BlockTensor;
  values: Float32Array;
  K: number;
  N: number;
} {
  const type = [...GGML_TYPES.values()].find((t) => t.name === name)!;
  const [K, N] = [type.blockSize, blocks[name].shape[1]! / type.blockSize];
  const bytes = fromHex(blocks[name].bytes);
  const source = sourceOf({ type, shape: [N, K], read: async () => bytes });
  if (!isBlockTensor(source)) throw new Error(`${name} is no block format`);
  return { source, values: new Float32Array(fromHex(blocks[name].values).buffer), K, N };
}

class Model extends Module {
  readonly kept: Linear;
  readonly plain: Linear;

  constructor(K: number, N: number) {
    super();
    this.kept = new Linear(K, N);
    this.plain = new Linear(N, 2, { bias: false });
  }

  forward(x: Tensor): { y: Tensor; z: Tensor } {
    const y = this.kept.forward(x);
    return { y, z: this.plain.forward(y) };
  }
}

async function run(name: keyof typeof blocks, x: HostTensor) {
  const { source, values, K, N } = matrix(name);
  const model = new Model(K, N);
  const bias = Float32Array.from({ length: N }, (_, n) => n - 1);
  const weights = new Map<string, TensorSource>([
    ["kept.weight", source],
    ["kept.bias", f32([N], bias)],
    ["plain.weight", normals("plain", [2, N])],
  ]);
  const kept = applyPrecision(model, keepBlocks(model, weights), undefined, { read: readTensor });
  expect(model.kept).toBeInstanceOf(QuantizedLinear);
  expect([...parameters(model).keys()].sort()).toEqual([...kept.keys()].sort());
  const loaded = new Map<string, HostTensor>();
  for (const [key, s] of kept) loaded.set(key, await readTensor(s));
  const outputs = model.forward(input("x", "f32", ["B", K]));
  const { y } = await evaluate(runtime, { ...outputs }, { feeds: { x }, weights: loaded });
  const rows = x.shape[0]!;
  const expected = Float32Array.from({ length: rows * N }, (_, i) => {
    const [r, n] = [Math.floor(i / N), i % N];
    let total = bias[n]!;
    for (let k = 0; k < K; k++) total += Number(x.data[r * K + k]) * values[n * K + k]!;
    return total;
  });
  return { actual: y!, expected: f32([rows, N], expected) };
}

describe.each(Object.keys(blocks) as (keyof typeof blocks)[])("a layer of %s", (name) => {
  test("multiplies by the values of the file", async () => {
    const { K } = matrix(name);
    const one = Float32Array.from({ length: K * K }, (_, i) => (i % (K + 1) === 0 ? 1 : 0));
    const { actual, expected } = await run(name, f32([K, K], one));
    // Rounding a row with a single 1 to 8 bits is exact but for the scale's own rounding.
    expectClose(toF32(actual), expected, { relative: 1e-5, where: name });
  });

  test("multiplies any activations to within their 8 bits", async () => {
    const { actual, expected } = await run(name, normals(name, [3, matrix(name).K]));
    expectClose(toF32(actual), expected, { relative: 2e-2, where: name });
  });
});

test("what is no block, or of another shape, is left or refused", () => {
  const model = new Model(32, 4);
  const plain = normals("w", [4, 32]);
  const weights = new Map<string, TensorSource>([["kept.weight", plain]]);
  expect(keepBlocks(model, weights)).toEqual(weights);
  expect(model.kept).toBeInstanceOf(Linear);
  const { source } = matrix("Q4_1");
  expect(() => keepBlocks(new Model(64, 2), new Map([["kept.weight", source]]))).toThrow(ConfigError);
});

test("offsets need whole blocks", () => {
  const x = input("x", "f32", ["B", 40]);
  const of = (name: string, shape: number[], dtype: "u8" | "f32" = "f32") => input(name, dtype, shape);
  const attrs = { K: 40, N: 2, bits: 4, blockSize: 32 } as const;
  expect(() =>
    matmulOffsetBlocks(x, of("c", [2, 2, 16], "u8"), of("s", [2, 2]), of("o", [2, 2]), attrs),
  ).toThrow(ShapeError);
});
