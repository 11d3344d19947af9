import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { dimProduct } from "../core/shape.ts";
import { Param, scalar, type Tensor } from "../graph/tensor.ts";
import {
  CausalLM,
  type DecoderContext,
  DecoderLayer,
  type FeedForward,
  type HeadLayout,
  type SelfAttention,
} from "../nn/decoder.ts";
import { type ExpertWeights, partOf, StackedExperts } from "../nn/expert-stacks.ts";
import { project } from "../nn/joined.ts";
import { Linear, value } from "../nn/layers.ts";
import { choose, mixture, spread } from "../nn/mixture.ts";
import { Module } from "../nn/module.ts";
import { add, maximum, minimum, mul, rearrange, reshape, sigmoid, slice, softmax } from "../ops/index.ts";
import { count, LANGUAGE_FIELDS, layoutOf, shapeOf } from "./language-config.ts";

const layerType = z.enum(["sliding_attention", "full_attention"]);

/** GPT-OSS (arXiv:2508.10925; transformers models/gpt_oss): sinks, every second layer in a window, clamped experts. */
export const GptOssConfig = z.strictObject({
  ...LANGUAGE_FIELDS,
  head_dim: z.int().positive().default(64),
  attention_bias: z.boolean().default(true),
  sliding_window: z.int().positive().default(128),
  /** By layer; the default is sliding first, then in turn. */
  layer_types: z.array(layerType).nullable().default(null),
  num_local_experts: count,
  num_experts_per_tok: z.int().positive(),
  swiglu_limit: z.number().positive().default(7),
  swiglu_alpha: z.number().positive().default(1.702),
});
export type GptOssConfig = z.infer<typeof GptOssConfig>;

class GptOssAttention extends Module implements SelfAttention {
  readonly sinks: Param;
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;

  constructor(
    { hidden_size: D, attention_bias: bias, initializer_range: std }: GptOssConfig,
    readonly layout: HeadLayout,
  ) {
    super();
    const { heads, groups, width } = layout;
    this.sinks = new Param([heads], { kind: "trunc_normal", std });
    this.q_proj = new Linear(D, heads * width, { bias, std });
    this.k_proj = new Linear(D, groups * width, { bias, std });
    this.v_proj = new Linear(D, groups * width, { bias, std });
    this.o_proj = new Linear(heads * width, D, { bias, std });
  }

  forward(x: Tensor, layer: number, context: DecoderContext): Tensor {
    const [q, k, v] = project(x, this.q_proj, this.k_proj, this.v_proj);
    const layout = { ...this.layout, sinks: value(this.sinks) };
    return this.o_proj.forward(context.attend(layer, q, k, v, layout));
  }
}

/** All experts' weights in one tensor each, as they are published: x·W, not x·Wᵀ; gate and up are interleaved. */
class GptOssExperts extends StackedExperts {
  readonly stacks = ["gate_up_proj", "down_proj"];
  readonly gate_up_proj: ExpertWeights;
  readonly gate_up_proj_bias: Param;
  readonly down_proj: ExpertWeights;
  readonly down_proj_bias: Param;

  constructor(readonly cfg: GptOssConfig) {
    super();
    const { num_local_experts: E, hidden_size: D, intermediate_size: M, initializer_range: std } = cfg;
    const normal = { kind: "trunc_normal", std } as const;
    this.gate_up_proj = new Param([E, D, 2 * M], normal);
    this.gate_up_proj_bias = new Param([E, 2 * M], { kind: "zeros" });
    this.down_proj = new Param([E, M, D], normal);
    this.down_proj_bias = new Param([E, D], { kind: "zeros" });
  }

  /** One expert on its tokens: [n, D] -> [n, D]. */
  run(e: number, x: Tensor): Tensor {
    const { swiglu_limit: limit, swiglu_alpha: alpha } = this.cfg;
    const both = add(this.product(x, this.gate_up_proj, e), partOf(this.gate_up_proj_bias, e));
    const pairs = rearrange(both, "n (M two) -> n M two", { two: 2 });
    const part = (i: number) => rearrange(slice(pairs, { axis: 2, start: i, end: i + 1 }), "n M 1 -> n M");
    const gate = minimum(part(0), scalar(limit));
    const up = maximum(minimum(part(1), scalar(limit)), scalar(-limit));
    const glu = mul(gate, sigmoid(mul(gate, alpha)));
    return add(this.product(mul(add(up, 1), glu), this.down_proj, e), partOf(this.down_proj_bias, e));
  }
}

class GptOssMLP extends Module implements FeedForward {
  readonly router: Linear;
  readonly experts: GptOssExperts;

  constructor(
    readonly cfg: GptOssConfig,
    readonly layer: number,
  ) {
    super();
    this.router = new Linear(cfg.hidden_size, cfg.num_local_experts, { std: cfg.initializer_range });
    this.experts = new GptOssExperts(cfg);
  }

  /** [B, L, D] -> [B, L, D]; the softmax is over the chosen experts only. */
  forward(x: Tensor): Tensor {
    const T = dimProduct(x.shape.slice(0, 2));
    const scores = reshape(this.router.forward(x), [T, this.cfg.num_local_experts]);
    const { values, experts } = choose(scores, this.cfg.num_experts_per_tok);
    const weights = spread(softmax(values, { axis: 1 }), experts, scores);
    return mixture(x, weights, `layer_${this.layer}`, (e, rows) => this.experts.run(e, rows));
  }
}

export function createGptOss(cfg: GptOssConfig): CausalLM {
  const { hidden_size: D, num_hidden_layers: layers, rms_norm_eps: epsilon } = cfg;
  const types =
    cfg.layer_types ??
    Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding_attention" : "full_attention"));
  if (types.length !== layers)
    throw new ConfigError(`GPT-OSS: layer_types has ${types.length} entries, the model has ${layers} layers`);
  const layout = layoutOf(cfg);
  const layer = (i: number) => {
    const window = types[i] === "sliding_attention" ? { window: cfg.sliding_window } : {};
    const attention = new GptOssAttention(cfg, { ...layout, ...window });
    return new DecoderLayer(attention, new GptOssMLP(cfg, i), D, epsilon);
  };
  return new CausalLM(shapeOf(cfg), { epsilon, tied: cfg.tie_word_embeddings, layer });
}
