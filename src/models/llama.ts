import { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";
import {
  CausalLM,
  type DecoderContext,
  DecoderLayer,
  GatedMLP,
  type HeadLayout,
  type SelfAttention,
} from "../nn/decoder.ts";
import { project } from "../nn/joined.ts";
import { Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { LANGUAGE_FIELDS, layoutOf, shapeOf } from "./language-config.ts";

/**
 * LLaMA (arXiv:2302.13971, 2307.09288; transformers models/llama): grouped heads, no biases unless the configuration
 * says so. Yi, Vicuna and Llama 3 share it.
 */
export const LlamaConfig = z.strictObject({
  ...LANGUAGE_FIELDS,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});
export type LlamaConfig = z.infer<typeof LlamaConfig>;

class LlamaSelfAttention extends Module implements SelfAttention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;

  constructor(
    cfg: LlamaConfig,
    readonly layout: HeadLayout,
  ) {
    super();
    const { hidden_size: D, attention_bias: bias, initializer_range: std } = cfg;
    const { heads, groups, width } = layout;
    this.q_proj = new Linear(D, heads * width, { bias, std });
    this.k_proj = new Linear(D, groups * width, { bias, std });
    this.v_proj = new Linear(D, groups * width, { bias, std });
    this.o_proj = new Linear(heads * width, D, { bias, std });
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const [q, k, v] = project(x, this.q_proj, this.k_proj, this.v_proj);
    return this.o_proj.forward(context.attend(layer, q, k, v, this.layout));
  }
}

export function createLlama(cfg: LlamaConfig): CausalLM {
  const layout = layoutOf(cfg);
  const { hidden_size: D, intermediate_size: M, rms_norm_eps: epsilon, initializer_range: std } = cfg;
  const mlp = () => new GatedMLP(D, M, { std, bias: cfg.mlp_bias });
  return new CausalLM(shapeOf(cfg), {
    epsilon,
    tied: cfg.tie_word_embeddings,
    layer: () => new DecoderLayer(new LlamaSelfAttention(cfg, layout), mlp(), D, epsilon),
  });
}
