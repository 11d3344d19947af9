import { expect, test } from "vitest";
import { Linear } from "../nn/layers.ts";
import { modules } from "../nn/module.ts";
import { QuantizedLinear } from "../nn/quantized.ts";
import { languageModel } from "./language_models.ts";
import { quantizationOf, quantizeTree } from "./precision.ts";

test("routers of experts stay as they are, the experts do not", () => {
  const config = {
    vocab_size: 32,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 16,
    rms_norm_eps: 1e-6,
    head_dim: 16,
    num_experts: 2,
    num_experts_per_tok: 1,
    moe_intermediate_size: 32,
  };
  const model = languageModel("Qwen3MoeForCausalLM", config, "test").create();
  quantizeTree(model, "w4");
  const kinds = new Map([...modules(model)].map(([path, module]) => [path, module.constructor]));
  expect(kinds.get("model.layers.0.mlp.gate")).toBe(Linear);
  expect(kinds.get("model.layers.0.mlp.experts.1.gate_proj")).toBe(QuantizedLinear);
  expect(kinds.get("lm_head")).toBe(QuantizedLinear);
});

test("4 bits are for the layers of the language model: its head, the vision tower and the projector stay at 8", () => {
  const bits = (path: string) => (["w8", "w4"] as const).map((p) => quantizationOf(path, p).bits);
  for (const path of [
    "lm_head",
    "output",
    "language_model.lm_head",
    "language_model.output",
    "vision_model.encoder.layers.0.attn.qkv",
    "mlp1.3",
  ])
    expect([path, ...bits(path)]).toEqual([path, 8, 8]);
  for (const path of [
    "model.layers.0.self_attn.q_proj",
    "language_model.model.layers.0.attention.wo",
    "language_model.model.layers.0.mlp.experts.gate_up_proj.3",
    "qllama.model.layers.0.mlp.up_proj",
  ])
    expect([path, ...bits(path)]).toEqual([path, 8, 4]);
});
