import { describe, expect, test } from "vitest";
import { readChatConfig, readTextConfig } from "./chat-config.ts";
import { PUBLISHED_CHAT_NAMES, publishedChat } from "./published-chat.ts";
import type { Fields } from "./unused-fields.ts";

/** What transformers 4.37 writes into every part, whether it is meant there or not, and later releases keep. */
const WRITTEN = {
  _attn_implementation_autoset: true,
  _attn_implementation_internal: "eager",
  _name_or_path: "internlm/internlm2_5-7b-chat",
  add_cross_attention: false,
  attn_implementation: "flash_attention_2",
  bad_words_ids: null,
  chunk_size_feed_forward: 0,
  id2label: { "0": "LABEL_0", "1": "LABEL_1" },
  max_length: 20,
  output_hidden_states: false,
  pruned_heads: {},
  return_dict: true,
  torch_dtype: "bfloat16",
  torchscript: false,
  transformers_version: "4.37.2",
  typical_p: 1,
  use_bfloat16: true,
  use_cache: true,
  // Of code that was never published.
  moe_config: null,
};

const isQwen = (config: Fields): boolean => String(config.model_type).startsWith("qwen");

/** InternVL3's towers have these, and so have language models that were saved by its training. */
const MIXTURE = {
  capacity_factor: 1.2,
  eval_capacity_factor: 1.4,
  laux_allreduce: "all_nodes",
  moe_coeff_ratio: 0.5,
  moe_intermediate_size: 768,
  moe_output_scale: 4,
  noisy_gate_policy: "RSample_before",
  num_experts: 8,
  num_routed_experts: 4,
  num_shared_experts: 4,
  shared_expert_intermediate_size: 3072,
  use_moe: false,
  use_residual: true,
  use_rts: false,
  use_weighted_residual: false,
};

const published = (name: string): Fields => publishedChat(name)!.config as Fields;
const part = (config: Fields, name: string): Fields => config[name] as Fields;
const read = (config: Fields) => {
  const { language, ...rest } = readChatConfig(config, "config.json");
  return { ...rest, architecture: language.architecture, language: language.config };
};

describe("what libraries write beside a model's own fields changes nothing", () => {
  test.each(PUBLISHED_CHAT_NAMES)("%s", (name) => {
    const config = published(name);
    const language = "llm_config" in config ? "llm_config" : "text_config";
    const isMixture = "num_experts_per_tok" in part(config, language);
    const full = {
      ...WRITTEN,
      _commit_hash: null,
      image_fold: null,
      hidden_size: 896,
      eos_token_id: 151645,
      auto_map: { AutoConfig: "configuration_internvl_chat.InternVLChatConfig" },
      ...config,
      vision_config: {
        ...WRITTEN,
        ...MIXTURE,
        ...{ dropout: 0, attention_dropout: 0 },
        ...{ architectures: ["InternVisionModel"], use_flash_attn: true },
        ...part(config, "vision_config"),
      },
      [language]: {
        ...WRITTEN,
        ...(!isMixture && MIXTURE),
        ...(isQwen(part(config, language)) && { layer_types: null, max_window_layers: 70 }),
        ...{ pretraining_tp: 1, ...part(config, language) },
      },
    };
    expect(read(full)).toEqual(read(config));
  });

  test("in transformers' format also what it took over from the other", () => {
    const config = published("InternVL3-1B-hf");
    const taken = { force_image_size: 448, min_dynamic_patch: 1, max_dynamic_patch: 12, ps_version: "v2" };
    const tower = { ...part(config, "vision_config"), drop_path_rate: 0.1, initializer_factor: 0.1 };
    const full = { ...config, ...taken, dynamic_image_size: false, use_thumbnail: false };
    expect(read({ ...full, vision_config: tower })).toEqual(read(config));
  });
});

describe("what might change the model is refused by its name", () => {
  const config = published("InternVL3-1B");
  const refused = (changes: Fields) => () => read({ ...config, ...changes });
  test.each<[string, Fields]>([
    ["flash_relative_threshold", { flash_relative_threshold: 0.5 }],
    ["use_moe", { vision_config: { ...part(config, "vision_config"), ...MIXTURE, use_moe: true } }],
    ["use_moe", { llm_config: { ...part(config, "llm_config"), ...MIXTURE, use_moe: true } }],
    ["moe_config", { llm_config: { ...part(config, "llm_config"), moe_config: { num_experts: 4 } } }],
    ["some_new_option", { llm_config: { ...part(config, "llm_config"), some_new_option: 1 } }],
    ["some_new_option", { vision_config: { ...part(config, "vision_config"), some_new_option: false } }],
  ])("%s", (field, changes) => {
    expect(refused(changes)).toThrow(new RegExp(`^config\\.json.*\\n.*"${field}"`));
  });

  test("and pixel shuffle v1 in transformers' format, which has none", () => {
    expect(() => read({ ...published("InternVL3-1B-hf"), ps_version: "v1" })).toThrow(/ps_version/);
  });
});

const TEXT: Fields = {
  ...{ model_type: "llama", vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 256, rms_norm_eps: 1e-6 },
};
const textModel = (changes: Fields) => readTextConfig({ ...TEXT, ...changes }, "config.json").language;
const readText = (changes: Fields) => textModel(changes).config as unknown as Fields;

test("what programs that converted or published a language model wrote into its file", () => {
  const written = {
    ...{ is_llama_config: true, rope_interleaved: false, use_mrope: false, unsloth_fixed: true },
    ...{ max_sequence_length: 4096, "transformers.js_config": { dtype: "q4" } },
  };
  expect(readText(written)).toEqual(readText({}));
  for (const field of ["use_mrope", "rope_interleaved"])
    expect(() => readText({ [field]: true })).toThrow(new RegExp(`"${field}"`));
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
  expect(readText({ rope_scaling: { ...yarn, attn_factor: 0.87 } })).toEqual(
    readText({ rope_scaling: yarn }),
  );
  expect(() => readText({ rope_scaling: { ...yarn, attention_factor: 0.87 } })).toThrow(/attention_factor/);
});

test("heads that share no keys need not be counted twice", () => {
  const shape = (num_key_value_heads: number | undefined) =>
    textModel({ num_key_value_heads }).create().shape;
  expect(shape(undefined)).toEqual(shape(2));
});

test.each(["qwen2", "qwen3", "llama", "phi3", "internlm2"])("%s with a width of heads", (model_type) => {
  const width = (head_dim: number | null) => textModel({ model_type, head_dim }).create().shape.rope.head_dim;
  expect(width(24)).toBe(24);
  if (model_type !== "qwen3") expect(width(null)).toBe(16);
});

test("a scaling that begins at some length and does not say which begins after all positions", () => {
  const scaled = (rope_scaling: Fields) => readText({ rope_scaling });
  const yarn = { rope_type: "yarn", factor: 4 };
  expect(scaled(yarn).rope_scaling).toMatchObject({ type: "yarn", original_max_position_embeddings: 256 });
  expect(scaled({ ...yarn, original_max_position_embeddings: 64 }).rope_scaling).toMatchObject({
    original_max_position_embeddings: 64,
  });
  expect(scaled({ type: "dynamic", factor: 2 }).rope_scaling).toEqual({ type: "dynamic", factor: 2 });
});
