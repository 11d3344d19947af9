import { describe, expect, test } from "vitest";
import { VisionConfig } from "./intern_vit.ts";
import { PUBLISHED_CHAT_NAMES, publishedChat } from "./published-chat.ts";

type Fields = Record<string, unknown>;

test("names of every generation from 1.1 to 3.5, in both formats", () => {
  const count = (pattern: RegExp) => PUBLISHED_CHAT_NAMES.filter((name) => pattern.test(name)).length;
  expect([/Chat-V1-1$/, /Chat-V1-2/, /V1-5$/, /^InternVL2-/].map(count)).toEqual([1, 2, 3, 7]);
  expect([/^InternVL2_5-/, /^InternVL3-/, /^InternVL3_5-/, /-hf$/i].map(count)).toEqual([8, 8, 13, 6]);
});

test("other names are unknown", () => {
  expect(publishedChat("InternVL4-1B")).toBeUndefined();
  expect(publishedChat("toString")).toBeUndefined();
});

test("a configuration is put together from what its format, its class and its parts share", () => {
  const { config, ...model } = publishedChat("InternVL3-1B")!;
  expect(model).toEqual({
    name: "InternVL3-1B",
    format: "github",
    vision: "InternViT-300M-448px-V2_5",
    llm: "Qwen2.5-0.5B",
    context: 12288,
    source: "copy",
  });
  expect(config).toMatchObject({
    model_type: "internvl_chat",
    template: "internvl2_5",
    ps_version: "v2",
    vision_config: { model_type: "intern_vit_6b", hidden_size: 1024, initializer_factor: 0.1 },
    llm_config: { model_type: "qwen2", hidden_size: 896, eos_token_id: 151643, vocab_size: 151674 },
  });
  expect(config).not.toHaveProperty("text_config");
});

test("and is a fresh one", () => {
  const llm = (config: Fields) => config.llm_config as { rope_scaling: Fields };
  llm(publishedChat("InternVL3-1B")!.config).rope_scaling.factor = 9;
  expect(llm(publishedChat("InternVL3-2B")!.config).rope_scaling.factor).toBe(2);
});

test("transformers' format has its own fields and changes", () => {
  const { config } = publishedChat("InternVL3-1B-hf")!;
  expect(config).toMatchObject({
    model_type: "internvl",
    image_token_id: 151667,
    vision_config: { image_size: [448, 448], use_qk_norm: false, attention_bias: true },
    text_config: { eos_token_id: 151645 },
  });
  expect(config).not.toHaveProperty("llm_config");
});

test("Phi-3's factors, one for each pair of a head's 96 numbers", () => {
  const llm = publishedChat("InternVL2-4B")!.config.llm_config as { rope_scaling: Record<string, number[]> };
  const { type, long_factor, short_factor } = llm.rope_scaling;
  expect(type).toBe("su");
  for (const factors of [long_factor!, short_factor!]) {
    expect(factors).toHaveLength(48);
    expect(factors).toEqual([...factors].sort((a, b) => a - b));
  }
  expect([long_factor![0], long_factor![47]]).toEqual([1.0299999713897705, 64.81001281738281]);
  expect([short_factor![0], short_factor![47]]).toEqual([1.05, 2.9499999999999975]);
});

describe.each(PUBLISHED_CHAT_NAMES)("%s", (name) => {
  const { config, format } = publishedChat(name)!;
  const llm = (config.llm_config ?? config.text_config) as Fields;

  test("heads divide evenly, and share keys evenly", () => {
    const [heads, kv] = [llm.num_attention_heads, llm.num_key_value_heads] as [number, number];
    expect(heads % kv).toBe(0);
    expect((llm.hidden_size as number) % heads === 0 || llm.head_dim !== undefined).toBe(true);
  });

  test("the vision tower is one that is known", () => {
    if (format === "github") expect(() => VisionConfig.parse(config.vision_config)).not.toThrow();
    else expect(config.vision_config).toMatchObject({ model_type: "internvl_vision" });
  });
});
