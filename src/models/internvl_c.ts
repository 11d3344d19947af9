import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { MAX_TEXT_TOKENS } from "../core/text-limit.ts";
import { Param, type Tensor } from "../graph/tensor.ts";
import { LayerNorm, Linear, value } from "../nn/layers.ts";
import { Module, parameters } from "../nn/module.ts";
import {
  add,
  attention,
  dims,
  exp,
  expand,
  matmul,
  mean,
  rearrange,
  reshape,
  takeAlong,
} from "../ops/index.ts";
import { InternVisionModel, VisionConfig, type VisionNoise } from "./intern_vit.ts";
import { LlamaModel, QLlamaConfig } from "./qllama.ts";
import { runLayer } from "./run-layer.ts";

/**
 * InternVL-C (arXiv:2312.14238 §3.3; clip_benchmark/.../internvl_c_pytorch): InternViT and a LLaMA text encoder
 * with attention pooling and a projection each. Keys are those of the 14B checkpoints.
 */
export const InternVLConfig = z.strictObject({
  model_type: z.literal("internvl").default("internvl"),
  clip_embed_dim: z.int().positive().default(768),
  attn_pool_num_heads: z.int().positive().default(16),
  num_query_token: z.int().positive().default(96),
  label_smoothing: z.number().default(0),
  cross_attention_frequency: z.int().positive().default(2),
  force_image_size: z.int().positive().nullable().default(null),
  use_backbone_lora: z.literal(0).default(0),
  use_qllama_lora: z.literal(0).default(0),
  initializer_range: z.number().positive().default(0.02),
  vision_config: VisionConfig.prefault({}),
  qllama_config: QLlamaConfig.prefault({}),
});
export type InternVLConfig = z.infer<typeof InternVLConfig>;

const POOL_NORM_EPS = 1e-5;

/** The query's and keys' linear layers hold no bias: the checkpoints keep the biases as separate vectors. */
class PoolingCrossAttention extends Module {
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly q_bias: Param;
  readonly k_bias: Param;
  readonly v_bias: Param;
  readonly proj: Linear;

  constructor(
    width: number,
    readonly heads: number,
    outWidth: number,
    std: number,
  ) {
    super();
    const square = () => new Linear(width, width, { bias: false, std });
    const bias = () => new Param([width], { kind: "zeros" });
    this.q = square();
    this.k = square();
    this.v = square();
    this.q_bias = bias();
    this.k_bias = bias();
    this.v_bias = bias();
    this.proj = new Linear(width, outWidth, { std });
  }

  /** q [B, 1, D], k and v [B, N, D] -> [B, 1, out] */
  forward(q: Tensor, k: Tensor, v: Tensor): Tensor {
    const heads = (t: Tensor) => rearrange(t, "B L (H d) -> B H L d", { H: this.heads });
    const y = attention(
      heads(add(this.q.forward(q), value(this.q_bias))),
      heads(add(this.k.forward(k), value(this.k_bias))),
      heads(add(this.v.forward(v), value(this.v_bias))),
    );
    return this.proj.forward(rearrange(y, "B H L d -> B L (H d)"));
  }
}

/** Attention pooling: the query is the mean of all tokens, each of q, k, v has its own LayerNorm. */
export class AttentionPoolingBlock extends Module {
  readonly norm1_q: LayerNorm;
  readonly norm1_k: LayerNorm;
  readonly norm1_v: LayerNorm;
  readonly cross_attn: PoolingCrossAttention;

  constructor(width: number, heads: number, outWidth: number, std: number) {
    super();
    if (width % heads !== 0)
      throw new ConfigError(
        `AttentionPoolingBlock: the width ${width} is not a multiple of attn_pool_num_heads ${heads}`,
      );
    this.norm1_q = new LayerNorm(width, POOL_NORM_EPS);
    this.norm1_k = new LayerNorm(width, POOL_NORM_EPS);
    this.norm1_v = new LayerNorm(width, POOL_NORM_EPS);
    this.cross_attn = new PoolingCrossAttention(width, heads, outWidth, std);
  }

  /** [B, N, D] -> [B, out] */
  forward(x: Tensor): Tensor {
    const q = this.norm1_q.forward(mean(x, { axes: [1], keepdims: true }));
    const pooled = this.cross_attn.forward(q, this.norm1_k.forward(x), this.norm1_v.forward(x));
    return rearrange(pooled, "B 1 E -> B E");
  }
}

class QLlama extends Module {
  readonly model: LlamaModel;

  constructor(cfg: QLlamaConfig) {
    super();
    this.model = new LlamaModel(cfg);
  }
}

export class InternVLC extends Module {
  readonly vision_model: InternVisionModel;
  readonly clip_projector: AttentionPoolingBlock;
  readonly qllama: QLlama;
  readonly text_projection: Param;
  readonly logit_scale: Param;

  constructor(readonly cfg: InternVLConfig) {
    super();
    const image_size = cfg.force_image_size ?? cfg.vision_config.image_size;
    const vision: VisionConfig = { ...cfg.vision_config, image_size };
    this.vision_model = new InternVisionModel(vision);
    this.clip_projector = new AttentionPoolingBlock(
      vision.hidden_size,
      cfg.attn_pool_num_heads,
      cfg.clip_embed_dim,
      cfg.initializer_range,
    );
    this.qllama = new QLlama(cfg.qllama_config);
    const std = cfg.qllama_config.hidden_size ** -0.5;
    this.text_projection = new Param([cfg.qllama_config.hidden_size, cfg.clip_embed_dim], {
      kind: "trunc_normal",
      std,
    });
    this.logit_scale = new Param([], { kind: "constant", value: Math.log(1 / 0.07) });
    parameters(this);
  }

  /** Side of the square input in pixels. */
  get imageSize(): number {
    return this.vision_model.cfg.image_size;
  }

  /** Normalised pixels [B, 3, S, S] -> image embeddings [B, E], not normalised. */
  encodeImage(pixels: Tensor, noise: VisionNoise = {}, run = runLayer): Tensor {
    return this.clip_projector.forward(this.vision_model.forward(pixels, noise, run));
  }

  /**
   * Right-padded ids i64 [B, L] and the position of each text's EOS i64 [B] -> text embeddings [B, E], not
   * normalised. The published rule for the position is (number of ids > 0) − 1.
   */
  encodeText(ids: Tensor, eos: Tensor, run = runLayer): Tensor {
    const hidden = this.qllama.model.encodeText(ids, MAX_TEXT_TOKENS, run);
    const { B } = dims(ids, "B L");
    const D = this.cfg.qllama_config.hidden_size;
    const at = expand(reshape(eos, [B, 1, 1]), [B, 1, D]);
    const features = reshape(takeAlong(hidden, at, { axis: 1 }), [B, D]);
    return matmul(features, value(this.text_projection));
  }

  /** exp(logit_scale), a scalar: what multiplies cosines. */
  scale(): Tensor {
    return exp(value(this.logit_scale));
  }
}
