import { z } from "zod";
import { dimProduct } from "../core/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { CausalLM, DecoderLayer, type FeedForward, GatedMLP } from "../nn/decoder.ts";
import { Linear } from "../nn/layers.ts";
import { choose, mixture, spread } from "../nn/mixture.ts";
import { Module, ModuleList } from "../nn/module.ts";
import { div, reshape, softmax, sum } from "../ops/index.ts";
import { count, shapeOf } from "./language-config.ts";
import { QWEN3_FIELDS, Qwen3SelfAttention } from "./qwen3.ts";

/** Qwen3 with a mixture of experts in every layer, or in some (arXiv:2505.09388; transformers models/qwen3_moe). */
export const Qwen3MoeConfig = z.strictObject({
  ...QWEN3_FIELDS,
  num_experts: count,
  num_experts_per_tok: z.int().positive(),
  moe_intermediate_size: z.int().positive(),
  norm_topk_prob: z.boolean().default(false),
  /** Every so many layers have experts, but for those that are listed; the others have a plain MLP. */
  decoder_sparse_step: z.int().positive().default(1),
  mlp_only_layers: z.array(z.int().nonnegative()).default([]),
});
export type Qwen3MoeConfig = z.infer<typeof Qwen3MoeConfig>;

class Qwen3SparseMoe extends Module implements FeedForward {
  readonly gate: Linear;
  readonly experts: ModuleList<GatedMLP>;

  constructor(
    readonly cfg: Qwen3MoeConfig,
    readonly layer: number,
  ) {
    super();
    const { hidden_size: D, moe_intermediate_size: M, num_experts: E, initializer_range: std } = cfg;
    this.gate = new Linear(D, E, { bias: false, std });
    this.experts = new ModuleList(Array.from({ length: E }, () => new GatedMLP(D, M, { std })));
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    const { num_experts: E, num_experts_per_tok: k, norm_topk_prob } = this.cfg;
    const T = dimProduct(x.shape.slice(0, 2));
    const scores = softmax(reshape(this.gate.forward(x), [T, E]), { axis: 1 });
    const { values, experts } = choose(scores, k);
    const share = norm_topk_prob ? div(values, sum(values, { axes: [1], keepdims: true })) : values;
    return mixture(x, spread(share, experts, scores), `layer_${this.layer}`, (e, rows) =>
      this.experts.items[e]!.forward(rows),
    );
  }
}

export function createQwen3Moe(cfg: Qwen3MoeConfig): CausalLM {
  const { hidden_size: D, intermediate_size: M, rms_norm_eps: epsilon, initializer_range: std } = cfg;
  const isSparse = (i: number) => !cfg.mlp_only_layers.includes(i) && (i + 1) % cfg.decoder_sparse_step === 0;
  return new CausalLM(shapeOf(cfg), {
    epsilon,
    tied: cfg.tie_word_embeddings,
    layer: (i) => {
      const mlp = isSparse(i) ? new Qwen3SparseMoe(cfg, i) : new GatedMLP(D, M, { std });
      return new DecoderLayer(new Qwen3SelfAttention(cfg), mlp, D, epsilon);
    },
  });
}
