import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { afterAll, describe, expect, test } from "vitest";
import { grad } from "../../src/autodiff/index.ts";
import { bytesOf, castFloat, f32, type HostTensor, i64, toF32 } from "../../src/core/array.ts";
import { Rng } from "../../src/core/rng.ts";
import { constant, paramTensor } from "../../src/graph/tensor.ts";
import { Decoder } from "../../src/infer/decoder.ts";
import { decoderGraph } from "../../src/infer/decoder-graph.ts";
import { placeWeights } from "../../src/infer/place-weights.ts";
import { sequenceOf } from "../../src/infer/sequence.ts";
import { chatMemory } from "../../src/models/chat-memory.ts";
import { languageModel } from "../../src/models/language_models.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { stackExperts, unstackExperts } from "../../src/models/unstack-experts.ts";
import { type CausalLanguageModel, wholeSequence } from "../../src/nn/decoder.ts";
import { parameters } from "../../src/nn/module.ts";
import { mean, mul } from "../../src/ops/index.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { TensorSource } from "../../src/runtime/runtime.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import { expertStack } from "../../src/weights/ggml-rows.ts";
import { GGML_TYPES, ggmlBytes } from "../../src/weights/ggml-types.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { writeSafetensors } from "../../src/weights/write-safetensors.node.ts";
import { expectClose } from "../close.ts";
import { evaluate, randomWeights } from "../evaluate.ts";
import { multipliesInt8 } from "../int8.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { worstCosine } from "./tiny-model.ts";

/** Mixtures of experts are quantised as other layers are: in memory, for prompts and for single tokens. */
const ready = createRuntime({ threads: 1 });
const making = ready.then((runtime) => new Quantizer(runtime));
afterAll(async () => (await ready)[Symbol.asyncDispose]());

const SIZES = {
  vocab_size: 61,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-6,
  head_dim: 16,
};

/** Matrices that are quantised: q, k, v, o and three or two products of each of three experts a layer, and the head. */
const MODELS: Readonly<Record<string, readonly [string, Record<string, unknown>, number]>> = {
  qwen3_moe: [
    "Qwen3MoeForCausalLM",
    { ...SIZES, num_experts: 3, num_experts_per_tok: 2, moe_intermediate_size: 32 },
    2 * (4 + 3 * 3) + 1,
  ],
  gpt_oss: [
    "GptOssForCausalLM",
    { ...SIZES, sliding_window: 4, num_local_experts: 3, num_experts_per_tok: 2 },
    2 * (4 + 2 * 3) + 1,
  ],
};

const IDS = [3, 60, 17, 17, 5, 0, 44, 9];

/** Logits after all but one of the tokens at once, and after one more by itself. */
async function logitsOf(
  language: CausalLanguageModel,
  sources: ReadonlyMap<string, TensorSource>,
): Promise<{ prompt: HostTensor<"f32">; step: HostTensor<"f32"> }> {
  const runtime = await ready;
  using weights = await runtime.weights(sources);
  await using decoder = await Decoder.create(runtime, language, weights);
  using cache = decoder.cache(1, 16);
  const { logits } = await sequenceOf(decoder, cache).prefill({ ids: IDS.slice(0, -1) });
  const prompt: HostTensor<"f32"> = { dtype: "f32", shape: [1, logits.length], data: logits };
  return { prompt, step: await decoder.run(cache, { ids: [IDS.slice(-1)] }) };
}

const totalBytes = (sources: Iterable<TensorSource>): number =>
  [...sources].reduce((sum, { dtype, shape }) => sum + bytesOf(dtype, shape), 0);

/** Least cosine to f32 of all logits: of random weights, which have no outliers and whose errors all add up. */
const LEAST = { w8: 0.999, w8a8: 0.998, w4: 0.95 } as const;

describe.each(Object.entries(MODELS))("%s", (name, [architecture, config, matrices]) => {
  const create = () => languageModel(architecture, config, "test").create();
  const host = randomWeights(parameters(create()), new Rng(name));

  /** The model of a file in bf16, at a precision. */
  async function place(folder: string, precision: "f32" | "w8" | "w4" | "w8a8") {
    const file = join(folder, "model.safetensors");
    await writeSafetensors(file, new Map([...host].map(([key, t]) => [key, castFloat(t, "bf16")])));
    const language = create();
    const placing = { precision, quantizer: await making };
    return { language, weights: await placeWeights(language, await openSafetensors(file), placing) };
  }

  test.each(["w8", "w4", "w8a8"] as const)(
    "in %s its experts are, and it stays near f32",
    async (precision) => {
      if (precision === "w8a8" && !(await multipliesInt8(await ready))) return;
      await using folder = await temporaryFolder();
      const { language, weights } = await place(folder.path, precision);
      expect([...weights.keys()].sort()).toEqual([...parameters(language).keys()].sort());
      expect([...weights.keys()].filter((key) => key.endsWith(".codes"))).toHaveLength(matrices);
      const published = [...parameters(create())].map(
        ([key, { shape }]) => [key, shape as number[]] as const,
      );
      if (precision !== "w8a8")
        expect(totalBytes(weights.values())).toBe(chatMemory(published).weightBytes[precision]);
      const full = await place(folder.path, "f32");
      const expected = await logitsOf(full.language, full.weights);
      const actual = await logitsOf(language, weights);
      for (const part of ["prompt", "step"] as const) {
        const cosine = worstCosine(actual[part], expected[part]);
        expect(cosine).toBeGreaterThan(LEAST[precision]);
        expect(cosine).toBeLessThan(1);
      }
    },
  );

  test("a layer looks for its tokens once, along an axis that only the run tells", () => {
    // What is known of their rank costs the runtime's planner hours where there are thousands of experts.
    const language = create();
    parameters(language);
    const { graph } = fromBinary(ModelProtoSchema, decoderGraph(language));
    const constants = new Set(graph!.initializer.map((t) => t.name));
    const made = new Map(graph!.node.flatMap((node) => node.output.map((value) => [value, node] as const)));
    const found = graph!.node.filter((node) => node.opType === "NonZero");
    expect(found).toHaveLength(SIZES.num_hidden_layers);
    const squeezed = graph!.node.filter(
      ({ opType, input }) =>
        opType === "Squeeze" && made.get(made.get(input[0]!)?.input[0] ?? "")?.opType === "NonZero",
    );
    expect(squeezed).toHaveLength(2 * SIZES.num_hidden_layers);
    for (const { input } of squeezed) expect(constants.has(input[1]!)).toBe(false);
  });

  test("its gradients are the slopes of its loss, routers and experts too", async () => {
    const language = create();
    const params = parameters(language);
    const y = language.logits(
      language.decode(
        language.embed(constant(i64([1, IDS.length], IDS))),
        wholeSequence(language.shape.rope, IDS.length, IDS.length),
      ),
    );
    const loss = mean(mul(y, y));
    const keys = [...params.keys()].filter((key) => /embed|layers\.0\..*(gate|router|experts)/.test(key));
    const slopes = grad(
      loss,
      keys.map((key) => paramTensor(params.get(key)!)),
    );
    const runtime = await ready;
    const found = await evaluate(runtime, Object.fromEntries(slopes.map((g, i) => [`g${i}`, g])), {
      weights: host,
    });
    const along = new Rng("direction");
    for (const [i, key] of keys.entries()) {
      const own = host.get(key) as HostTensor<"f32">;
      const direction = Float32Array.from(own.data, () => along.normal());
      const lossAt = async (step: number) => {
        const moved = f32(
          own.shape,
          own.data.map((v, j) => v + step * direction[j]!),
        );
        const { value } = await evaluate(
          runtime,
          { value: loss },
          { weights: new Map(host).set(key, moved) },
        );
        return value!.data[0] as number;
      };
      const slope = (found[`g${i}`]!.data as Float32Array).reduce((sum, g, j) => sum + g * direction[j]!, 0);
      const STEP = 1e-3;
      const measured = ((await lossAt(STEP)) - (await lossAt(-STEP))) / (2 * STEP);
      expect(Math.abs(slope - measured), key).toBeLessThan(0.02 * Math.abs(measured) + 2e-3);
    }
  });

  test("saved in 8 bits and loaded, it is what it was", async () => {
    await using folder = await temporaryFolder();
    const { language, weights } = await place(folder.path, "w8");
    const held = new Map<string, HostTensor>();
    for (const [key, source] of weights) held.set(key, await readTensor(source));
    const file = join(folder.path, "eight.safetensors");
    await writeSafetensors(file, held);
    const again = create();
    const stored = await placeWeights(again, await openSafetensors(file), { stored: "w8" });
    for (const [key, source] of stored) expect([key, await readTensor(source)]).toEqual([key, held.get(key)]);
    expect(await logitsOf(again, stored)).toEqual(await logitsOf(language, weights));
  });
});

test("an expert of GPT-OSS computes the same from a layer of its own as from all experts' weights", async () => {
  const [architecture, config] = MODELS.gpt_oss!;
  const create = () => languageModel(architecture, config, "test").create();
  const stacked = create();
  const host = randomWeights(parameters(stacked), new Rng("stack"));
  const apart = create();
  const own = unstackExperts(apart, host, readTensor);
  expect([...own.keys()].sort()).toEqual([...parameters(apart).keys()].sort());
  expect(own.size).toBe(host.size - 2 * 2 + 2 * 2 * 3);
  const expected = await logitsOf(stacked, host);
  const actual = await logitsOf(apart, own);
  for (const part of ["prompt", "step"] as const)
    expectClose(toF32(actual[part]), toF32(expected[part]), { relative: 1e-5, where: part });
});

test("experts' own weights are stacked again as they were, cut to their width, and left where one is missing", async () => {
  const tree = languageModel(
    ...(MODELS.gpt_oss!.slice(0, 2) as [string, Record<string, unknown>]),
    "test",
  ).create();
  const params = parameters(tree);
  const host = randomWeights(params, new Rng("stack again"));
  const own = unstackExperts(tree, host, readTensor);
  const key = "model.layers.1.mlp.experts.down_proj";
  // Blocks may be wider than the weight: 96 inputs in a block of 128.
  const { shape, data } = toF32(await readTensor(own.get(`${key}.2.weight`)!));
  const wide = new Float32Array(64 * 128).fill(7);
  for (let n = 0; n < 64; n++) wide.set((data as Float32Array).subarray(n * 96, (n + 1) * 96), n * 128);
  expect(shape).toEqual([64, 96]);
  own.set(`${key}.2.weight`, f32([64, 128], wide));
  const again = stackExperts(params, own, readTensor);
  expect([...again.keys()].sort()).toEqual([...host.keys()].sort());
  for (const [name, t] of host) expect([name, await readTensor(again.get(name)!)]).toEqual([name, t]);
  own.delete(`${key}.1.weight`);
  expect(stackExperts(params, own, readTensor).has(key)).toBe(false);
});

test("GPT-OSS's experts in 4-bit floats (GGUF's MXFP4) stay what they are", async () => {
  const [architecture, config] = MODELS.gpt_oss!;
  const create = () => languageModel(architecture, config, "test").create();
  const host = randomWeights(parameters(create()), new Rng("mxfp4"));
  const type = [...GGML_TYPES.values()].find(({ name }) => name === "MXFP4")!;
  const rng = new Rng("blocks");
  const expert = (N: number, K: number) => {
    const bytes = Uint8Array.from({ length: ggmlBytes(type, N * K) }, (_, i) =>
      // A block is the exponent of its scale, here of 1/32 or 1/16, and 16 bytes of codes.
      i % 17 === 0 ? 122 + rng.int(2) : rng.int(256),
    );
    return { type, shape: [N, K], read: async () => bytes };
  };
  const tensors = new Map<string, TensorSource>(host);
  for (const [key, { shape }] of host)
    if (/experts\.\w+_proj$/.test(key)) {
      const [E, K, N] = shape as [number, number, number];
      tensors.set(key, expertStack(Array.from({ length: E }, () => expert(N, K))));
    }
  const checkpoint = { name: "test", keys: [...tensors.keys()], tensors, metadata: {}, read: readTensor };
  const kept = create();
  const weights = await placeWeights(kept, checkpoint);
  const key = "model.layers.1.mlp.experts.gate_up_proj.2.weight";
  expect(weights.get(`${key}.codes`)).toMatchObject({ dtype: "u8", shape: [192, 2, 32] });
  expect([...weights.keys()].filter((k) => k.endsWith(".codes"))).toHaveLength(2 * 2 * 3);
  const full = create();
  const expected = await logitsOf(full, await placeWeights(full, checkpoint, { precision: "f32" }));
  const actual = await logitsOf(kept, weights);
  for (const part of ["prompt", "step"] as const) {
    expect(worstCosine(actual[part], expected[part])).toBeGreaterThan(0.999);
    expect(actual[part]).not.toEqual(expected[part]);
  }
});
