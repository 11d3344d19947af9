import { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";
import {
  CausalLM,
  type DecoderContext,
  DecoderLayer,
  type FeedForward,
  type HeadLayout,
  type SelfAttention,
} from "../nn/decoder.ts";
import { Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { mul, silu, split } from "../ops/index.ts";
import { LANGUAGE_FIELDS, layoutOf, shapeOf } from "./language-config.ts";

/** Phi-3 (arXiv:2404.14219; transformers models/phi3): fused projections, LongRoPE ("su"), a sliding window. */
export const Phi3Config = z.strictObject({
  ...LANGUAGE_FIELDS,
  sliding_window: z.int().positive().nullable().default(null),
  attention_bias: z.literal(false).default(false),
  partial_rotary_factor: z.literal(1).default(1),
});
export type Phi3Config = z.infer<typeof Phi3Config>;

/** One projection; its rows are q, k and v in turn. */
class Phi3SelfAttention extends Module implements SelfAttention {
  readonly o_proj: Linear;
  readonly qkv_proj: Linear;

  constructor(
    { hidden_size: D, initializer_range: std }: Phi3Config,
    readonly layout: HeadLayout,
  ) {
    super();
    const { heads, groups, width } = layout;
    this.o_proj = new Linear(heads * width, D, { bias: false, std });
    this.qkv_proj = new Linear(D, (heads + 2 * groups) * width, { bias: false, std });
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const { heads, groups, width } = this.layout;
    const sizes = [heads * width, groups * width, groups * width];
    const [q, k, v] = split.outputs(this.qkv_proj.forward(x), { axis: 2, sizes });
    return this.o_proj.forward(context.attend(layer, q!, k!, v!, this.layout));
  }
}

/** down(SiLU(gate) ⊙ up), gate the first half of one projection's rows and up the second. */
class Phi3MLP extends Module implements FeedForward {
  readonly gate_up_proj: Linear;
  readonly down_proj: Linear;

  constructor({ hidden_size: D, intermediate_size: M, initializer_range: std }: Phi3Config) {
    super();
    this.gate_up_proj = new Linear(D, 2 * M, { bias: false, std });
    this.down_proj = new Linear(M, D, { bias: false, std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    const M = this.down_proj.inFeatures;
    const [gate, up] = split.outputs(this.gate_up_proj.forward(x), { axis: 2, sizes: [M, M] });
    return this.down_proj.forward(mul(silu(gate!), up!));
  }
}

export function createPhi3(cfg: Phi3Config): CausalLM {
  const layout: HeadLayout = {
    ...layoutOf(cfg),
    ...(cfg.sliding_window !== null && { window: cfg.sliding_window }),
  };
  const { hidden_size: D, rms_norm_eps: epsilon } = cfg;
  return new CausalLM(shapeOf(cfg), {
    epsilon,
    tied: cfg.tie_word_embeddings,
    layer: () => new DecoderLayer(new Phi3SelfAttention(cfg, layout), new Phi3MLP(cfg), D, epsilon),
  });
}
