import { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";
import {
  byHead,
  CausalLM,
  type DecoderContext,
  DecoderLayer,
  GatedMLP,
  type HeadLayout,
  type SelfAttention,
} from "../nn/decoder.ts";
import { project } from "../nn/joined.ts";
import { Linear, RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { LANGUAGE_FIELDS, layoutOf, shapeOf } from "./language-config.ts";

/** Fields of Qwen3's attention: heads of a width of their own, all projections with or without biases. */
export const QWEN3_FIELDS = {
  ...LANGUAGE_FIELDS,
  head_dim: z.int().positive().default(128),
  attention_bias: z.boolean().default(false),
} as const;

/** Qwen3 (arXiv:2505.09388; transformers models/qwen3). */
export const Qwen3Config = z.strictObject(QWEN3_FIELDS);
export type Qwen3Config = z.infer<typeof Qwen3Config>;

/** q and k are normalised head by head, before the rotation. */
export class Qwen3SelfAttention extends Module implements SelfAttention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: RMSNorm;
  readonly k_norm: RMSNorm;
  readonly layout: HeadLayout;

  constructor(cfg: z.infer<z.ZodObject<typeof QWEN3_FIELDS>>) {
    super();
    const { hidden_size: D, attention_bias: bias, initializer_range: std, head_dim: width } = cfg;
    this.layout = layoutOf(cfg);
    const { heads, groups } = this.layout;
    this.q_proj = new Linear(D, heads * width, { bias, std });
    this.k_proj = new Linear(D, groups * width, { bias, std });
    this.v_proj = new Linear(D, groups * width, { bias, std });
    this.o_proj = new Linear(heads * width, D, { bias, std });
    this.q_norm = new RMSNorm(width, cfg.rms_norm_eps);
    this.k_norm = new RMSNorm(width, cfg.rms_norm_eps);
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const { heads, groups } = this.layout;
    const [q, k, v] = project(x, this.q_proj, this.k_proj, this.v_proj);
    const [nq, nk] = [
      byHead(q, heads, (x) => this.q_norm.forward(x)),
      byHead(k, groups, (x) => this.k_norm.forward(x)),
    ];
    return this.o_proj.forward(context.attend(layer, nq, nk, v, this.layout));
  }
}

export function createQwen3(cfg: Qwen3Config): CausalLM {
  const { hidden_size: D, intermediate_size: M, rms_norm_eps: epsilon, initializer_range: std } = cfg;
  return new CausalLM(shapeOf(cfg), {
    epsilon,
    tied: cfg.tie_word_embeddings,
    layer: () => new DecoderLayer(new Qwen3SelfAttention(cfg), new GatedMLP(D, M, { std }), D, epsilon),
  });
}
