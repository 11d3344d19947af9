import { describe, expect, test } from "vitest";
import { InternVLConfig } from "../models/internvl_c.ts";
import { withoutUnused } from "./unused-fields.ts";

/** What transformers adds to nested configurations, in the values it writes. */
const LIBRARY = {
  _name_or_path: "",
  add_cross_attention: false,
  architectures: null,
  id2label: { "0": "LABEL_0", "1": "LABEL_1" },
  max_length: 20,
  num_beams: 1,
  output_hidden_states: false,
  pruned_heads: {},
  return_dict: true,
  torch_dtype: "bfloat16",
  transformers_version: "4.32.0",
  typical_p: 1,
};
const PUBLISHED = {
  _commit_hash: null,
  architectures: ["InternVLModel"],
  auto_map: { AutoConfig: "configuration_internvl.InternVLConfig" },
  hidden_size: 4096,
  max_txt_len: 32,
  model_type: "internvl",
  torch_dtype: "bfloat16",
  vision_config: {
    ...LIBRARY,
    bos_token_id: null,
    tie_word_embeddings: true,
    dropout: 0,
    attention_dropout: 0,
    use_flash_attn: true,
    hidden_size: 3200,
  },
  qllama_config: {
    ...LIBRARY,
    model_type: "llama",
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: 128,
    rope_scaling: null,
    rope_theta: 10000,
    pretraining_tp: 1,
    tie_word_embeddings: false,
    cross_attention_frequency: 2,
    num_query_token: 96,
  },
};

const parse = (config: unknown) => InternVLConfig.safeParse(withoutUnused(config));

describe("withoutUnused", () => {
  test("a published configuration with all that its library writes", () => {
    const { success, data } = parse(PUBLISHED);
    expect(success).toBe(true);
    expect(data?.vision_config.hidden_size).toBe(3200);
    expect(data?.qllama_config.num_attention_heads).toBe(32);
  });

  test.each([
    ["num_key_value_heads", 8],
    ["head_dim", 64],
    ["rope_theta", 500_000],
    ["rope_scaling", { type: "linear", factor: 2 }],
    ["attention_bias", true],
    ["tie_word_embeddings", true],
    ["some_new_option", 1],
  ])("what would change the text encoder is an error: %s", (key, value) => {
    const config = { ...PUBLISHED, qllama_config: { ...PUBLISHED.qllama_config, [key]: value } };
    const result = parse(config);
    expect(result.success).toBe(false);
    expect(JSON.stringify(result.error?.issues)).toContain(key);
  });

  test("unknown fields of the other parts are errors, and what is no object is left to the schema", () => {
    expect(parse({ ...PUBLISHED, use_moe: true }).success).toBe(false);
    expect(parse({ ...PUBLISHED, vision_config: { use_moe: true } }).success).toBe(false);
    for (const config of [null, 3, [], { vision_config: 3 }, { qllama_config: [] }])
      expect(parse(config).success, JSON.stringify(config)).toBe(false);
  });
});
