import { describe, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { cacheBytes, chatMemory, isQuantizable, tokensPerTile } from "./chat-memory.ts";

describe("memory of weights", () => {
  test("a matrix in whole blocks, one in padded blocks, and what stays as it is", () => {
    const memory = chatMemory([
      ["language_model.model.layers.0.mlp.up_proj.weight", [3, 256]],
      ["language_model.model.layers.0.mlp.down_proj.weight", [2, 33]],
      ["language_model.model.embed_tokens.weight", [10, 4]],
      ["language_model.model.norm.weight", [4]],
    ]);
    const parameters = 768 + 66 + 40 + 4;
    expect(memory).toEqual({
      parameters,
      weightBytes: {
        bf16: 2 * parameters,
        f32: 4 * parameters,
        // 3 rows of 2 blocks and 2 rows of 1, of 128 bytes and a scale; 44 elements of 2 bytes.
        w8: 6 * 132 + 2 * 132 + 88,
        // 3 rows of 8 blocks and 2 rows of 2, of 16 bytes and a scale.
        w4: 24 * 20 + 4 * 20 + 88,
      },
    });
  });

  test("GPT-OSS's experts are blocked along their inputs, which are not the last axis", () => {
    const { weightBytes } = chatMemory([["m.experts.gate_up_proj", [2, 32, 5]]]);
    expect(weightBytes).toMatchObject({ w8: 2 * 5 * 132, w4: 2 * 5 * 20 });
  });

  test("the head, the vision tower and the projector have 8 bits in w4 too", () => {
    for (const key of ["language_model.lm_head", "vision_model.encoder.layers.0.mlp.fc1", "mlp1.1"])
      expect(chatMemory([[`${key}.weight`, [3, 256]]]).weightBytes).toMatchObject({
        w8: 6 * 132,
        w4: 6 * 132,
      });
  });

  test("a part that is left out stays bf16, and no choice quantises what is no matrix", () => {
    const tensors = [
      ["vision_model.a.weight", [2, 32]],
      ["language_model.b.weight", [2, 32]],
      ["language_model.b.bias", [32]],
    ] as const;
    const { weightBytes } = chatMemory(tensors, (key) => key.startsWith("language_model."));
    expect(weightBytes.w4).toBe(128 + 40 + 64);
  });

  test.each<[string, number[], boolean]>([
    ["vision_model.encoder.layers.0.attn.qkv.weight", [9, 3], true],
    ["vision_model.embeddings.patch_embedding.weight", [3, 3, 14, 14], false],
    ["vision_model.embeddings.position_embedding", [1, 5, 3], false],
    ["mlp1.0.weight", [12], false],
    ["mlp1.3.weight", [3, 3], true],
    ["language_model.output.weight", [9, 3], true],
    ["language_model.lm_head.weight", [9, 3], true],
    ["language_model.model.tok_embeddings.weight", [9, 3], false],
    ["language_model.model.layers.0.mlp.gate.weight", [4, 3], false],
    ["language_model.model.layers.0.mlp.gate_proj.weight", [4, 3], true],
    ["language_model.model.layers.0.mlp.router.weight", [4, 3], false],
    ["language_model.model.layers.0.mlp.experts.3.up_proj.weight", [4, 3], true],
    ["language_model.model.layers.0.mlp.experts.down_proj", [2, 4, 3], true],
    ["language_model.model.layers.0.mlp.experts.down_proj_bias", [2, 3], false],
  ])("%s", (key, shape, expected) => expect(isQuantizable(key, shape)).toBe(expected));
});

describe("the cache", () => {
  const qwen = { num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2, hidden_size: 896 };

  test("a key and a value of every layer, in heads of the model's width", () =>
    expect(cacheBytes(qwen, 1000)).toBe(24_576_000));

  test("or of their own, where heads are wider than the model", () => {
    const qwen3 = {
      num_hidden_layers: 36,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      hidden_size: 2560,
    };
    expect(cacheBytes({ ...qwen3, head_dim: 128 }, 1)).toBe(294_912);
  });
});

test("tokens of a tile", () => {
  expect(tokensPerTile(448, 14, 0.5)).toBe(256);
  expect(tokensPerTile(224, 14, 0.5)).toBe(64);
  // 449 pixels are cut into 32 patches, as at 448.
  expect(tokensPerTile(449, 14, 0.5)).toBe(256);
  for (const [size, patch, ratio] of [
    [42, 14, 0.5],
    [13, 14, 1],
    [Number.NaN, 14, 0.5],
  ] as const)
    expect(() => tokensPerTile(size, patch, ratio)).toThrow(ConfigError);
});
