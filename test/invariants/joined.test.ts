import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { afterAll, describe, expect, test } from "vitest";
import { castFloat, type HostTensor, toF32 } from "../../src/core/array.ts";
import type { Precision } from "../../src/core/precisions.ts";
import { Rng } from "../../src/core/rng.ts";
import { input, type Tensor, topological } from "../../src/graph/tensor.ts";
import { Decoder } from "../../src/infer/decoder.ts";
import { decoderGraph } from "../../src/infer/decoder-graph.ts";
import { sequenceOf } from "../../src/infer/sequence.ts";
import { InternVLC } from "../../src/models/internvl_c.ts";
import { joinProjections } from "../../src/models/join-projections.ts";
import { languageModel } from "../../src/models/language_models.ts";
import { applyPrecision } from "../../src/models/precision.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { type CausalLanguageModel, wholeSequence } from "../../src/nn/decoder.ts";
import { type Module, parameters } from "../../src/nn/module.ts";
import { fuse } from "../../src/onnx/fuse.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { TensorSource } from "../../src/runtime/runtime.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import { expectClose } from "../close.ts";
import { evaluate, randomWeights } from "../evaluate.ts";
import { multipliesInt8 } from "../int8.ts";
import { encoders, TINY_CONFIG, TINY_FEEDS, tinyWeights } from "./tiny-model.ts";

/** What a model computes does not change when the layers that read one input are joined; only how. */
const ready = createRuntime({ threads: 1 });
const making = ready.then((runtime) => ({ read: readTensor, quantizer: new Quantizer(runtime) }));
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
};

/** Products of a layer once it is joined: q k v, o, gate up, down; Qwen3-MoE's router and gate up, down of each expert. */
const MODELS: Readonly<Record<string, readonly [string, Record<string, unknown>, number]>> = {
  llama: ["LlamaForCausalLM", SIZES, 4],
  "qwen2 with biases": ["Qwen2ForCausalLM", SIZES, 4],
  "qwen3 with norms": ["Qwen3ForCausalLM", { ...SIZES, head_dim: 16 }, 4],
  "internlm2, which has q k v joined": ["InternLM2ForCausalLM", SIZES, 4],
  "gpt_oss with biases": [
    "GptOssForCausalLM",
    { ...SIZES, head_dim: 16, sliding_window: 4, num_local_experts: 3, num_experts_per_tok: 2 },
    // Its experts are one parameter each already: q k v, o, the router, and two products of each.
    2 + 1 + 2 * 3,
  ],
  qwen3_moe: [
    "Qwen3MoeForCausalLM",
    { ...SIZES, head_dim: 16, num_experts: 3, num_experts_per_tok: 2, moe_intermediate_size: 32 },
    2 + 1 + 2 * 3,
  ],
};

/** Families whose queries, keys and values go from the joined product to attention as they are. */
const PACKED = ["LlamaForCausalLM", "Qwen2ForCausalLM", "GptOssForCausalLM"];

const IDS = [3, 60, 17, 17, 5, 0, 44, 9];

async function logitsOf(
  language: CausalLanguageModel,
  sources: ReadonlyMap<string, TensorSource>,
): Promise<HostTensor<"f32">> {
  const runtime = await ready;
  using weights = await runtime.weights(sources);
  await using decoder = await Decoder.create(runtime, language, weights);
  using cache = decoder.cache(1, 16);
  await sequenceOf(decoder, cache).prefill({ ids: IDS.slice(0, -1) });
  return await decoder.run(cache, { ids: [IDS.slice(-1)] });
}

const PRODUCTS = ["matmul", "matmul_nbits", "matmul_int8", "gemm"];

const products = (graph: Record<string, Tensor>) =>
  topological(Object.values(graph)).filter((n) => PRODUCTS.includes(n.op.def.name)).length;

describe.each(Object.entries(MODELS))("%s", (_, [architecture, config, productsOfLayer]) => {
  const create = () => languageModel(architecture, config, "test").create();
  const host = randomWeights(parameters(create()), new Rng(architecture));

  // The kernels add up the same numbers; quantised ones round each row of x as they did.
  test.each<[Precision, number]>([
    ["f32", 1e-6],
    ["f16", 1e-6],
    ["bf16", 1e-6],
    ["w4", 1e-6],
    ["w8", 1e-6],
    ["w8a8", 1e-6],
  ])("in %s: the same logits, by fewer products", async (precision, relative) => {
    if (precision === "w8a8" && !(await multipliesInt8(await ready))) return;
    const apart = create();
    const separate = applyPrecision(apart, host, precision, await making);
    const expected = await logitsOf(apart, separate);
    const model = create();
    const joined = joinProjections(model, applyPrecision(model, host, precision, await making), readTensor);
    expect([...joined.keys()].sort()).toEqual([...parameters(model).keys()].sort());
    expect(joined.size).toBeLessThan(separate.size);
    expectClose(await logitsOf(model, joined), expected, { relative });
    const { graph } = fromBinary(ModelProtoSchema, decoderGraph(model));
    const cut = graph!.node.filter(
      ({ opType, input }) => opType === "GroupQueryAttention" && input[1] === "",
    ).length;
    const isPacked = PACKED.includes(architecture) && ["w4", "w8", "w8a8"].includes(precision);
    expect(cut).toBe(isPacked ? SIZES.num_hidden_layers : 0);
    const x = model.embed(input("ids", "i64", [1, 8]));
    const y = model.logits(model.decode(x, wholeSequence(model.shape.rope, 8, 8)));
    // Scores and weighted sums of attention are in one kernel where there is no sink, and two products where there is.
    const attending = architecture.startsWith("GptOss") ? 2 : 0;
    const found = products(fuse({ y }));
    expect(found).toBe(SIZES.num_hidden_layers * (productsOfLayer + attending) + 1);
  });
});

test("InternVL-C's texts: three products a layer less, the same embeddings", async () => {
  const runtime = await ready;
  const weights = tinyWeights();
  const model = new InternVLC(TINY_CONFIG);
  const before = fuse(encoders(model));
  const expected = await evaluate(runtime, before, { feeds: TINY_FEEDS, weights });
  const joined = await load(joinProjections(model, weights, readTensor));
  const after = fuse(encoders(model));
  const layers = TINY_CONFIG.qllama_config.num_hidden_layers;
  expect(products(before) - products(after)).toBe(3 * layers);
  const actual = await evaluate(runtime, after, { feeds: TINY_FEEDS, weights: joined });
  for (const [name, t] of Object.entries(expected))
    expectClose(toF32(actual[name]!), toF32(t), { relative: 1e-5, where: name });
});

async function load(sources: ReadonlyMap<string, TensorSource>): Promise<Map<string, HostTensor>> {
  const out = new Map<string, HostTensor>();
  for (const [key, source] of sources) out.set(key, await readTensor(source));
  return out;
}

describe("weights", () => {
  const tree = () => languageModel("Qwen2ForCausalLM", SIZES, "test").create();
  const host = randomWeights(parameters(tree()), new Rng("weights"));
  const keysOf = (model: Module, weights: ReadonlyMap<string, TensorSource>) =>
    [...joinProjections(model, weights, readTensor).keys()].filter((k) => k.startsWith("model.layers.0."));
  const layer = "model.layers.0.self_attn";

  test("stand one after the other, biases too, and are read when they are loaded", async () => {
    const reads: string[] = [];
    const names = new Map<unknown, string>([...host].map(([key, t]) => [t, key]));
    const joined = joinProjections(tree(), host, async (source) => {
      reads.push(names.get(source)!);
      return source as HostTensor;
    });
    expect(reads).toEqual([]);
    for (const name of ["weight", "bias"]) {
      const parts = ["q", "k", "v"].map((p) => toF32(host.get(`${layer}.${p}_proj.${name}`)!));
      const whole = await readTensor(joined.get(`${layer}.q_proj+k_proj+v_proj.${name}`)!);
      expect([...whole.data]).toEqual(parts.flatMap((p) => [...p.data]));
    }
    expect(reads).toHaveLength(6);
    // What was not joined is what it was.
    expect(joined.get(`${layer}.o_proj.weight`)).toBe(host.get(`${layer}.o_proj.weight`));
  });

  test("of 8 bits with a scale an output are stored transposed: side by side", async () => {
    const model = tree();
    const apart = await load(applyPrecision(tree(), host, "w8a8", await making));
    const joined = joinProjections(model, applyPrecision(model, host, "w8a8", await making), readTensor);
    const whole = await load(joined);
    const { codes, scales } = Object.fromEntries(
      ["codes", "scales"].map((part) => [part, whole.get(`${layer}.q_proj+k_proj+v_proj.weight.${part}`)!]),
    ) as Record<"codes" | "scales", HostTensor>;
    expect([codes.shape, scales.shape]).toEqual([[64, 128], [128]]);
    const parts = ["q", "k", "v"].map((p) => apart.get(`${layer}.${p}_proj.weight.codes`)!);
    const row = (t: HostTensor, k: number) => [...t.data].slice(k * t.shape[1]!, (k + 1) * t.shape[1]!);
    for (const k of [0, 63]) expect(row(codes, k)).toEqual(parts.flatMap((p) => row(p, k)));
  });

  test("that are byte ranges of a file stay mapped, and those of different dtypes apart", () => {
    const keys = keysOf(tree(), host);
    expect(keys).toContain(`${layer}.q_proj+k_proj+v_proj.weight`);
    const inFile = new Map(
      [...host].map(([k, { dtype, shape }]) => [k, { dtype, shape, file: "f", offset: 0 }]),
    );
    expect(keysOf(tree(), inFile)).toEqual([...host.keys()].filter((k) => k.startsWith("model.layers.0.")));
    const mixed = new Map(host).set(
      `${layer}.k_proj.weight`,
      castFloat(host.get(`${layer}.k_proj.weight`)!, "f16"),
    );
    const kept = keysOf(tree(), mixed);
    expect(kept).toContain(`${layer}.k_proj.weight`);
    expect(kept).toContain("model.layers.0.mlp.gate_proj+up_proj.weight");
  });
});
