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

/** Qwen2 and Qwen2.5 (arXiv:2407.10671; transformers models/qwen2): q, k and v have biases, o has none. */
export const Qwen2Config = z.strictObject({ ...LANGUAGE_FIELDS });
export type Qwen2Config = z.infer<typeof Qwen2Config>;

class Qwen2SelfAttention extends Module implements SelfAttention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;

  constructor(
    { hidden_size: D, initializer_range: std }: Qwen2Config,
    readonly layout: HeadLayout,
  ) {
    super();
    const { heads, groups, width } = layout;
    this.q_proj = new Linear(D, heads * width, { std });
    this.k_proj = new Linear(D, groups * width, { std });
    this.v_proj = new Linear(D, groups * width, { std });
    this.o_proj = new Linear(heads * width, D, { bias: false, std });
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const [q, k, v] = project(x, this.q_proj, this.k_proj, this.v_proj);
    return this.o_proj.forward(context.attend(layer, q, k, v, this.layout));
  }
}

export function createQwen2(cfg: Qwen2Config): CausalLM {
  const layout = layoutOf(cfg);
  const { hidden_size: D, intermediate_size: M, rms_norm_eps: epsilon, initializer_range: std } = cfg;
  return new CausalLM(shapeOf(cfg), {
    epsilon,
    tied: cfg.tie_word_embeddings,
    layer: () =>
      new DecoderLayer(new Qwen2SelfAttention(cfg, layout), new GatedMLP(D, M, { std }), D, epsilon),
  });
}
