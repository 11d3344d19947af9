import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { castFloat, f32, type HostTensor, toF32 } from "../../src/core/array.ts";
import { ConfigError } from "../../src/core/errors.ts";
import type { Precision, QuantizedPrecision } from "../../src/core/precisions.ts";
import { openModel } from "../../src/infer/load-model.node.ts";
import type { InternVLC } from "../../src/models/internvl_c.ts";
import { applyPrecision, quantizationOf, type WeightTools } from "../../src/models/precision.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { parameters } from "../../src/nn/module.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { Runtime, TensorSource } from "../../src/runtime/runtime.ts";
import { dequantizeBlocks } from "../../src/weights/block-quantized.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import { writeSafetensors } from "../../src/weights/write-safetensors.node.ts";
import { expectClose } from "../close.ts";
import { evaluate } from "../evaluate.ts";
import { multipliesInt8 } from "../int8.ts";
import { encoders, TINY_CONFIG, TINY_FEEDS, tinyModel, tinyWeights, worstCosine } from "./tiny-model.ts";

const original = tinyWeights();
let runtime: Runtime;
let tools: WeightTools;
let inF32: Record<string, HostTensor>;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
  tools = { read: readTensor, quantizer: new Quantizer(runtime) };
  inF32 = await evaluate(runtime, encoders(tinyModel()), { feeds: TINY_FEEDS, weights: original });
});
afterAll(() => runtime[Symbol.asyncDispose]());

async function at(precision: Precision): Promise<{ model: InternVLC; weights: Map<string, HostTensor> }> {
  const model = tinyModel();
  const weights = new Map<string, HostTensor>();
  for (const [key, source] of applyPrecision(model, original, precision, tools))
    weights.set(key, await readTensor(source));
  return { model, weights };
}

const run = (model: InternVLC, weights: Map<string, HostTensor>) =>
  evaluate(runtime, encoders(model), { feeds: TINY_FEEDS, weights });

const cosines = (a: Record<string, HostTensor>, b: Record<string, HostTensor>) =>
  Object.keys(b).map((name) => worstCosine(toF32(a[name]!), toF32(b[name]!)));

describe.each(["f16", "bf16"] as const)("weights stored as %s", (dtype) => {
  test("give the outputs of f32 weights that were rounded", async () => {
    const { model, weights } = await at(dtype);
    expect(new Set([...weights.values()].map((t) => t.dtype))).toEqual(new Set([dtype]));
    const rounded = new Map([...original].map(([k, t]) => [k, castFloat(castFloat(t, dtype), "f32")]));
    const expected = await run(tinyModel(), rounded);
    const actual = await run(model, weights);
    for (const [name, t] of Object.entries(expected))
      expectClose(toF32(actual[name]!), toF32(t), { relative: 1e-5, where: name });
    expect(actual).not.toEqual(inF32);
  });
});

/**
 * Least cosines to f32. Random weights have no outliers, but a random text tower multiplies every error: its residual
 * stream is nothing but its branches. What the kernel adds to rounding the weights is bounded by itself, below.
 */
const BOUNDS = {
  w8a8: { image: 0.999, text: 0.999 },
  w8: { image: 0.999, text: 0.999 },
  // The vision tower stays at 8 bits.
  w4: { image: 0.999, text: 0.9 },
} as const;

/** The weight [N, K] that codes and scales stand for. */
function dequantized(
  precision: QuantizedPrecision,
  path: string,
  [N, K]: readonly number[],
  codes: HostTensor,
  scales: HostTensor,
): HostTensor<"f32"> {
  if (precision === "w8a8") {
    const value = (i: number) =>
      Number(codes.data[(i % K!) * N! + Math.floor(i / K!)]) * Number(scales.data[Math.floor(i / K!)]);
    return f32(
      [N!, K!],
      Float32Array.from({ length: N! * K! }, (_, i) => value(i)),
    );
  }
  const { bits, blockSize } = quantizationOf(path, precision);
  return dequantizeBlocks({ bits, blockSize, codes: codes as never, scales: scales as never, N: N!, K: K! });
}

describe.each(["w8", "w4", "w8a8"] as const)("weights quantised to %s", (precision) => {
  test.each(["image", "text"] as const)("stay near f32: %s", async (tower) => {
    if (precision === "w8a8" && !(await multipliesInt8(runtime))) return;
    const { model, weights } = await at(precision);
    const actual = await run(model, weights);
    const cosine = worstCosine(toF32(actual[tower]!), toF32(inF32[tower]!));
    expect(cosine).toBeGreaterThan(BOUNDS[precision][tower]);
    expect(cosine).toBeLessThan(1);
  });

  test("give what f32 products with the rounded weights give, up to 8-bit activations", async () => {
    if (precision === "w8a8" && !(await multipliesInt8(runtime))) return;
    const { model, weights } = await at(precision);
    const rounded = new Map(original);
    for (const key of weights.keys())
      if (key.endsWith(".codes")) {
        const name = key.replace(/\.codes$/, "");
        const { shape } = original.get(name)!;
        const scales = weights.get(`${name}.scales`)!;
        rounded.set(
          name,
          dequantized(precision, name.replace(/\.weight$/, ""), shape, weights.get(key)!, scales),
        );
      }
    const expected = await run(tinyModel(), rounded);
    for (const cosine of cosines(await run(model, weights), expected)) expect(cosine).toBeGreaterThan(0.9995);
  });

  test("are all linear layers of the towers and nothing of the pooling head", async () => {
    const { weights } = await at(precision);
    const quantised = [...weights.keys()].filter((k) => k.endsWith(".codes"));
    // Vision: qkv, proj, fc1, fc2; text: q, k, v, o, gate, up, down; four layers each.
    expect(quantised).toHaveLength(4 * 4 + 4 * 7);
    expect(quantised.filter((k) => k.startsWith("clip_projector"))).toEqual([]);
    for (const key of quantised) expect(weights.has(key.replace(/\.codes$/, ""))).toBe(false);
  });

  test("saved and loaded are those in memory, bit for bit", async () => {
    const { model, weights } = await at(precision);
    const folder = await mkdtemp(join(tmpdir(), "internvl-precision-"));
    try {
      await writeSafetensors(join(folder, "model.safetensors"), weights);
      await writeFile(join(folder, "config.json"), JSON.stringify({ ...TINY_CONFIG, precision }));
      const loaded = await openModel(folder);
      const read = new Map<string, HostTensor>();
      for (const [key, source] of loaded.weights) read.set(key, await loaded.opened.checkpoint.read(source));
      expect(read).toEqual(new Map([...parameters(model).keys()].map((k) => [k, weights.get(k)])));
      expect(await run(loaded.model, read)).toEqual(await run(model, weights));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

test("a checkpoint that lacks a weight", () => {
  const few = new Map([...original].slice(1));
  const missing = [...original.keys()][0]!;
  const apply = () => applyPrecision(tinyModel(), few, undefined, tools);
  expect(apply).toThrow(ConfigError);
  expect(apply).toThrow(`the weights have no "${missing}"`);
});

describe("weights that change", () => {
  const first = [...original.keys()].find((key) => key.endsWith("fc1.weight"))!;
  const [codes, scales] = [`${first}.codes`, `${first}.scales`];

  /** What `keys`, loaded one after another, read of the original. */
  async function readsOf(precision: Precision, keys: readonly string[]): Promise<number> {
    let reads = 0;
    const read = async (source: TensorSource) => {
      reads++;
      return source as HostTensor;
    };
    const placed = applyPrecision(tinyModel(), original, precision, { ...tools, read });
    expect(reads).toBe(0);
    for (const key of keys) await readTensor(placed.get(key)!);
    return reads;
  }

  test("are quantised once for codes and scales, in either order, and again for the next reader", async () => {
    expect(await readsOf("w8", [codes, scales])).toBe(1);
    expect(await readsOf("w4", [scales, codes])).toBe(1);
    expect(await readsOf("w8", [codes, scales, codes, scales])).toBe(2);
  });

  test("that cannot be quantised are named, to every reader", async () => {
    const tensor = original.get(first)!;
    const broken = new Map(original).set(first, {
      ...tensor,
      data: Float32Array.from(tensor.data as Float32Array).fill(Number.NaN, 0, 1),
    });
    const placed = applyPrecision(tinyModel(), broken, "w8", tools);
    for (const key of [codes, codes, scales])
      await expect(readTensor(placed.get(key)!)).rejects.toThrow(`row 0 of ${first} [`);
  });
});

test("without a precision the weights stay as the file holds them, each for itself", async () => {
  const mixed = new Map([...original].map(([k, t], i) => [k, i % 2 ? castFloat(t, "f16") : t]));
  const model = tinyModel();
  const read = () => {
    throw new Error("nothing needs to be read");
  };
  const weights = applyPrecision(model, mixed, undefined, { read });
  expect(weights).toEqual(mixed);
  expect([...parameters(model).values()].map((p) => p.dtype)).toEqual(
    [...mixed.values()].map((t) => t.dtype),
  );
  for (const cosine of cosines(await run(model, mixed), inF32)) expect(cosine).toBeGreaterThan(0.9999);
});
