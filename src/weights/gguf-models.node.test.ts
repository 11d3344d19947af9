import { describe, expect, test } from "vitest";
import { CheckpointError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { dequantizeBlocks } from "./block-quantized.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { isBlockTensor } from "./ggml-rows.ts";
import { openGguf } from "./gguf.node.ts";
import { ggufPair } from "./gguf-pair.ts";
import { ggufText } from "./gguf-text.ts";
import { ggufVision } from "./gguf-vision.ts";
import { openSafetensors } from "./safetensors.node.ts";
import { fixture } from "./test-files.node.ts";

/** Files that test/parity/make_gguf_models.py has made, with the published tensors that they were made from. */
const model = (name: string) => openGguf(fixture(`gguf/${name}.gguf`));
const published = (name: string) => openSafetensors(fixture(`gguf/${name}.safetensors`));

async function readAll({ tensors, read }: Checkpoint): Promise<Record<string, unknown>> {
  const out: Record<string, unknown> = {};
  for (const [key, source] of tensors) {
    const { shape, data } = await read(source);
    out[key] = { shape, data };
    expect([key, source.shape]).toEqual([key, shape]);
  }
  return out;
}

const inFile = (source: TensorSource | undefined) => source !== undefined && "file" in source;

const SIZES = { vocab_size: 5, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 2 };
const HEADS = { num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4 };
const COMMON = { ...SIZES, ...HEADS, hidden_act: "silu", max_position_embeddings: 512, rope_scaling: null };

const CONFIGS: Readonly<Record<string, unknown>> = {
  llama: {
    ...COMMON,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 16,
    head_dim: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    tie_word_embeddings: true,
    attention_bias: true,
    mlp_bias: false,
  },
  qwen2: {
    ...COMMON,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    tie_word_embeddings: false,
  },
  qwen3: {
    ...COMMON,
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    head_dim: 6,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    tie_word_embeddings: false,
    attention_bias: false,
  },
  qwen3moe: {
    ...COMMON,
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    tie_word_embeddings: false,
    attention_bias: false,
    moe_intermediate_size: 4,
    num_experts: 3,
    num_experts_per_tok: 2,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  },
  internlm2: {
    ...COMMON,
    architectures: ["InternLM2ForCausalLM"],
    model_type: "internlm2",
    hidden_size: 16,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    tie_word_embeddings: false,
    bias: false,
  },
  phi3: {
    ...COMMON,
    architectures: ["Phi3ForCausalLM"],
    model_type: "phi3",
    num_key_value_heads: 2,
    rms_norm_eps: 1e-5,
    rope_theta: 1e4,
    rope_scaling: { rope_type: "longrope", long_factor: [1.5, 8], short_factor: [1, 2] },
    original_max_position_embeddings: 64,
    sliding_window: null,
    tie_word_embeddings: false,
  },
  "gpt-oss": {
    ...COMMON,
    architectures: ["GptOssForCausalLM"],
    model_type: "gpt_oss",
    intermediate_size: 6,
    rms_norm_eps: 1e-5,
    rope_theta: 150000,
    rope_scaling: {
      rope_type: "yarn",
      factor: 32,
      original_max_position_embeddings: 4096,
      beta_fast: 32,
      beta_slow: 1,
      truncate: false,
    },
    original_max_position_embeddings: 4096,
    tie_word_embeddings: false,
    attention_bias: true,
    num_local_experts: 3,
    num_experts_per_tok: 2,
    sliding_window: 128,
  },
};

describe.each(Object.entries(CONFIGS))("%s", (name, config) => {
  test("has the tensors that were published, under their names", async () => {
    const { checkpoint } = await ggufText(await model(name));
    expect(await readAll(checkpoint)).toEqual(await readAll(await published(name)));
    expect(checkpoint.metadata["general.architecture"]).toBe(name);
  });

  test("has the published configuration", async () => {
    expect((await ggufText(await model(name))).config).toEqual(config);
  });
});

test("what the file holds as it is wanted stays a byte range of it", async () => {
  const { tensors } = (await ggufText(await model("llama"))).checkpoint;
  expect(inFile(tensors.get("model.layers.1.mlp.up_proj.weight"))).toBe(true);
  expect(inFile(tensors.get("model.embed_tokens.weight"))).toBe(true);
  expect(inFile(tensors.get("model.layers.1.self_attn.q_proj.weight"))).toBe(false);
  const moe = (await ggufText(await model("qwen3moe"))).checkpoint.tensors;
  expect(inFile(moe.get("model.layers.1.mlp.experts.2.down_proj.weight"))).toBe(true);
});

test("rows of quantised weights move as they are", async () => {
  const { checkpoint } = await ggufText(await model("llama-q8"));
  const expected = await published("llama-q8");
  expect(await readAll(checkpoint)).toEqual(await readAll(expected));
  for (const part of ["q", "k", "v"]) {
    const key = `model.layers.0.self_attn.${part}_proj.weight`;
    const source = checkpoint.tensors.get(key)!;
    if (!isBlockTensor(source)) throw new Error(`${key} is no longer quantised`);
    const packed = await source.repack();
    const { shape, data } = await expected.read(expected.tensors.get(key)!);
    expect([packed.bits, packed.blockSize, packed.N, packed.K]).toEqual([8, 32, ...shape]);
    expect(dequantizeBlocks(packed).data).toEqual(data);
  }
});

describe("a pair of model and mmproj", () => {
  const TOWER = {
    architectures: ["InternVisionModel"],
    model_type: "intern_vit_6b",
    num_channels: 3,
    patch_size: 14,
    image_size: 28,
    hidden_size: 4,
    num_attention_heads: 2,
    intermediate_size: 8,
    num_hidden_layers: 2,
    hidden_act: "gelu",
    layer_norm_eps: 1e-6,
  };

  test.each([
    ["mmproj", { qkv_bias: true, qk_normalization: false, norm_type: "layer_norm" }, {}],
    [
      "mmproj-big",
      { qkv_bias: false, qk_normalization: true, norm_type: "rms_norm" },
      { min_dynamic_patch: 1, max_dynamic_patch: 6 },
    ],
  ])("%s: tensors and configuration of InternViT and the projector", async (name, kind, tiles) => {
    const { checkpoint, config } = ggufVision(await model(name));
    expect(await readAll(checkpoint)).toEqual(await readAll(await published(name)));
    expect(config).toEqual({
      vision_config: { ...TOWER, ...kind },
      force_image_size: 28,
      downsample_ratio: 0.5,
      ...tiles,
    });
  });

  test("is one checkpoint in the names of the published chat models", async () => {
    const { checkpoint, config } = await ggufPair(await model("qwen2"), await model("mmproj"));
    const vision = await readAll(await published("mmproj"));
    const text = await readAll(await published("qwen2"));
    const prefixed = Object.entries(text).map(([key, t]) => [`language_model.${key}`, t]);
    expect(await readAll(checkpoint)).toEqual({ ...vision, ...Object.fromEntries(prefixed) });
    expect(checkpoint.keys).toEqual([...checkpoint.tensors.keys()]);
    expect(config).toMatchObject({
      model_type: "internvl_chat",
      llm_config: CONFIGS.qwen2 as object,
      force_image_size: 28,
      downsample_ratio: 0.5,
      ps_version: "v2",
      select_layer: -1,
    });
  });

  test("of different models is refused", async () => {
    const [text, vision] = [await model("internlm2"), await model("mmproj")];
    await expect(ggufPair(text, vision)).rejects.toThrow(
      /its projector gives vectors of 8 numbers, .*internlm2.gguf takes 16/,
    );
    await expect(ggufPair(vision, text)).rejects.toThrow(/expected the vision part \(mmproj\) of InternVL/);
    await expect(ggufText(vision)).rejects.toThrow(
      /"clip", expected a language model .* give it beside its model/,
    );
  });
});

describe("a file that contradicts itself is refused:", () => {
  const refused = async (change: Parameters<typeof altered>[1], message: RegExp, name = "llama") => {
    const file = altered(await model(name), change);
    await expect(ggufText(file)).rejects.toThrow(message);
    await expect(ggufText(file)).rejects.toThrow(CheckpointError);
  };
  const altered = (
    file: Awaited<ReturnType<typeof openGguf>>,
    {
      metadata = [],
      without = [],
      also = [],
    }: { metadata?: [string, never][]; without?: string[]; also?: string[] },
  ) => {
    const tensors = new Map([...file.tensors].filter(([key]) => !without.includes(key)));
    for (const key of also) tensors.set(key, file.tensors.get("output_norm.weight")!);
    return { ...file, tensors, metadata: new Map([...file.metadata, ...metadata]) };
  };
  const set = (key: string, value: unknown) => ({ metadata: [[key, value as never]] as [string, never][] });

  test("a number is missing or no number", async () => {
    await refused(set("llama.block_count", "two"), /llama.block_count as a whole number, found "two"/);
    await refused(set("llama.attention.head_count", [2, 2]), /head_count as a whole number, found a list/);
    await refused(set("llama.attention.layer_norm_rms_epsilon", 0), /as a number above 0, found 0/);
  });

  test("heads that do not divide the width, or are not the weights'", async () => {
    await refused(set("llama.attention.head_count", 3), /3 heads in 1 groups/);
    await refused(
      set("llama.attention.head_count_kv", 2),
      /k_proj.weight has 8 rows, the metadata says 2 heads of 8/,
    );
    await refused(
      set("internlm2.attention.head_count_kv", 4),
      /wqkv.weight is made of 16, 8, 8 rows/,
      "internlm2",
    );
  });

  test("tensors that are unknown or incomplete", async () => {
    await refused(
      { also: ["blk.0.ffn_gate_exps.weight"] },
      /1 tensors are unknown \(blk.0.ffn_gate_exps.weight\)/,
    );
    await refused({ without: ["token_embd.weight"] }, /token_embd.weight must be \[words, 16\], found none/);
    await refused(
      { without: ["blk.1.attn_k.weight"] },
      /blk.1.attn_k.weight.* must be there together/,
      "internlm2",
    );
  });

  test("layers that are not there, and rows of another width", async () => {
    await refused(set("llama.block_count", 3), /says 3 layers, its tensors are of others/);
    await refused(set("llama.block_count", 1), /says 1 layers, its tensors are of others/);
    const file = await model("internlm2");
    const key = file.tensors.get("blk.0.attn_k.weight")!;
    const tensors = new Map([...file.tensors, ["blk.0.attn_k.weight", { ...key, shape: [8, 8] }] as const]);
    await expect(ggufText({ ...file, tensors })).rejects.toThrow(/no 32 rows in \[16,16\] and \[8,8\]/);
  });

  test("a vision part whose sizes cannot be", async () => {
    const file = await model("mmproj");
    const of = (entry: [string, unknown]) => () =>
      ggufVision({ ...file, metadata: new Map([...file.metadata, entry as [string, never]]) });
    expect(of(["clip.vision.embedding_length", 6])).toThrow(/v.class_embd must have 6 numbers/);
    expect(of(["clip.vision.block_count", 1])).toThrow(/says 1 layers/);
    expect(of(["clip.vision.projector.scale_factor", 0])).toThrow(/scale_factor must be above 0/);
    expect(of(["clip.projector_type", 5])).toThrow(/clip.projector_type as a text, found 5/);
    expect(of(["clip.projector_type", "ldp"])).toThrow(/found "clip" with projector "ldp"/);
  });

  test("experts that are not alike, and a table as large as a weight", async () => {
    const file = await model("gpt-oss");
    const up = file.tensors.get("blk.0.ffn_up_exps.weight")!;
    const odd = new Map([...file.tensors, ["blk.0.ffn_up_exps.weight", { ...up, shape: [18, 8] }] as const]);
    await expect(ggufText({ ...file, tensors: odd })).rejects.toThrow(
      /must be made of equal tensors of rank 3/,
    );
    const large = { ...up, shape: [1 << 17] };
    const tables = new Map([...file.tensors, ["rope_freqs.weight", large] as const]);
    await expect(ggufText({ ...file, tensors: tables })).rejects.toThrow(/a table of \[131072\] numbers/);
  });

  test("another architecture, and another scaling of its rotary embedding", async () => {
    await refused(set("general.architecture", "mamba"), /"mamba", expected a language model/);
    await refused(set("llama.rope.freq_base", 10000), /are not those of Llama 3.1/);
    await refused(set("gpt-oss.rope.scaling.type", "dynamic"), /scaled by "dynamic"/, "gpt-oss");
  });
});
