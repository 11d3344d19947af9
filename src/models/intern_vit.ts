import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { Param, type Tensor } from "../graph/tensor.ts";
import { dropPath, Identity, LayerNorm, Linear, type Norm, RMSNorm, value } from "../nn/layers.ts";
import { Module, ModuleList } from "../nn/module.ts";
import {
  add,
  attention,
  concat,
  dims,
  expand,
  gather,
  gelu,
  linear,
  mul,
  rearrange,
  reshape,
  slice,
  split,
  takeAlong,
} from "../ops/index.ts";
import { runLayer } from "./run-layer.ts";

/**
 * InternViT, the vision tower of InternVL (arXiv:2312.14238 §3.2; internvl_chat/internvl/model/internvl_chat/
 * modeling_intern_vit.py): a ViT with layer scale; the 6B with RMSNorm and QK-norm, the 300M with LayerNorm.
 */
export const VisionConfig = z.strictObject({
  model_type: z.literal("intern_vit_6b").default("intern_vit_6b"),
  num_channels: z.literal(3).default(3),
  patch_size: z.int().positive().default(14),
  image_size: z.int().positive().default(224),
  qkv_bias: z.boolean().default(false),
  hidden_size: z.int().positive().default(3200),
  num_attention_heads: z.int().positive().default(25),
  intermediate_size: z.int().positive().default(12800),
  qk_normalization: z.boolean().default(true),
  num_hidden_layers: z.int().positive().max(4096).default(48),
  hidden_act: z.literal("gelu").default("gelu"),
  norm_type: z.enum(["rms_norm", "layer_norm"]).default("rms_norm"),
  layer_norm_eps: z.number().positive().default(1e-6),
  /** Of the norms of q and k; default layer_norm_eps. */
  qk_norm_eps: z.number().positive().optional(),
  drop_path_rate: z.number().min(0).max(1).default(0),
  initializer_range: z.number().positive().default(0.02),
  initializer_factor: z.number().positive().default(0.1),
});
export type VisionConfig = z.infer<typeof VisionConfig>;

/** What training adds to a forward pass; all are inputs of the graph. */
export interface VisionNoise {
  /** Patches that are kept, i64 [B, K], row-major indices without the class token (FLIP-style masking). */
  readonly keptPatches?: Tensor;
  /** Stochastic depth, [2·layers, B, 1, 1]: 0 or 1/(1 − rate) for each branch and sample. */
  readonly dropPath?: Tensor;
}

const norm = (cfg: VisionConfig): Norm =>
  cfg.norm_type === "rms_norm"
    ? new RMSNorm(cfg.hidden_size, cfg.layer_norm_eps)
    : new LayerNorm(cfg.hidden_size, cfg.layer_norm_eps);

export class InternVisionEmbeddings extends Module {
  readonly class_embedding: Param;
  readonly patch_embedding: PatchEmbedding;
  readonly position_embedding: Param;

  constructor(readonly cfg: VisionConfig) {
    super();
    const { hidden_size: D, patch_size, image_size } = cfg;
    if (image_size % patch_size !== 0)
      throw new ConfigError(
        `InternViT: image_size ${image_size} is not a multiple of patch_size ${patch_size}`,
      );
    const normal = { kind: "trunc_normal", std: cfg.initializer_range } as const;
    this.class_embedding = new Param([1, 1, D], normal);
    this.patch_embedding = new PatchEmbedding(cfg);
    this.position_embedding = new Param([1, 1 + (image_size / patch_size) ** 2, D], normal);
  }

  /** Pixels [B, 3, S, S] -> tokens [B, 1 + N, D], the class token first. */
  forward(pixels: Tensor, keptPatches?: Tensor): Tensor {
    const D = this.cfg.hidden_size;
    const N = (this.cfg.image_size / this.cfg.patch_size) ** 2;
    const table = reshape(value(this.position_embedding), [1 + N, D]);
    let patches = this.patch_embedding.patches(pixels); // [B, N, 3·p·p]
    let positions = slice(table, { axis: 0, start: 1, end: 1 + N });
    if (keptPatches) {
      const { B, K } = dims(keptPatches, "B K");
      const width = patches.shape[2]!;
      patches = takeAlong(patches, expand(reshape(keptPatches, [B, K, 1]), [B, K, width]), { axis: 1 });
      positions = gather(positions, keptPatches); // [B, K, D]
    }
    const tokens = add(this.patch_embedding.forward(patches), positions);
    const cls = add(value(this.class_embedding), slice(table, { axis: 0, start: 0, end: 1 }));
    return concat(expand(cls, [pixels.shape[0]!, 1, D]), tokens, { axis: 1 });
  }
}

/** The patch convolution, kernel = stride, as one matrix product; stored as a convolution's weight. */
class PatchEmbedding extends Module {
  readonly weight: Param;
  readonly bias: Param;

  constructor(readonly cfg: VisionConfig) {
    super();
    const { hidden_size: D, patch_size: p } = cfg;
    this.weight = new Param([D, 3, p, p], { kind: "trunc_normal", std: cfg.initializer_range });
    this.bias = new Param([D], { kind: "zeros" });
  }

  /** [B, 3, S, S] -> [B, N, 3·p·p], patches row by row. */
  patches(pixels: Tensor): Tensor {
    const { patch_size: p, image_size: S } = this.cfg;
    dims(pixels, "B C S S", { C: 3, S });
    return rearrange(pixels, "B C (h p) (w q) -> B (h w) (C p q)", { p, q: p });
  }

  forward(patches: Tensor): Tensor {
    const { hidden_size: D, patch_size: p } = this.cfg;
    return linear(patches, reshape(value(this.weight), [D, 3 * p * p]), value(this.bias));
  }
}

/** Self-attention; QK-norm acts on all D channels before the heads are split. */
export class InternAttention extends Module {
  readonly qkv: Linear;
  readonly q_norm: Norm;
  readonly k_norm: Norm;
  readonly proj: Linear;

  constructor(readonly cfg: VisionConfig) {
    super();
    const { hidden_size: D, initializer_range: std } = cfg;
    // RMSNorm here whatever norm_type says, as in the reference.
    const qkNorm = () =>
      cfg.qk_normalization ? new RMSNorm(D, cfg.qk_norm_eps ?? cfg.layer_norm_eps) : new Identity();
    this.qkv = new Linear(D, 3 * D, { bias: cfg.qkv_bias, std });
    this.q_norm = qkNorm();
    this.k_norm = qkNorm();
    this.proj = new Linear(D, D, { std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    const { hidden_size: D, num_attention_heads: H } = this.cfg;
    const heads = (t: Tensor) => rearrange(t, "B L (H d) -> B H L d", { H });
    const [q, k, v] = split.outputs(this.qkv.forward(x), { axis: 2, sizes: [D, D, D] }) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const y = attention(heads(this.q_norm.forward(q)), heads(this.k_norm.forward(k)), heads(v));
    return this.proj.forward(rearrange(y, "B H L d -> B L (H d)"));
  }
}

export class InternMLP extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(cfg: VisionConfig) {
    super();
    const { hidden_size, intermediate_size, initializer_range: std } = cfg;
    this.fc1 = new Linear(hidden_size, intermediate_size, { std });
    this.fc2 = new Linear(intermediate_size, hidden_size, { std });
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor): Tensor {
    return this.fc2.forward(gelu(this.fc1.forward(x)));
  }
}

export class InternVisionEncoderLayer extends Module {
  readonly attn: InternAttention;
  readonly mlp: InternMLP;
  readonly norm1: Norm;
  readonly norm2: Norm;
  readonly ls1: Param;
  readonly ls2: Param;

  constructor(cfg: VisionConfig) {
    super();
    this.attn = new InternAttention(cfg);
    this.mlp = new InternMLP(cfg);
    this.norm1 = norm(cfg);
    this.norm2 = norm(cfg);
    const scale = { kind: "constant", value: cfg.initializer_factor } as const;
    this.ls1 = new Param([cfg.hidden_size], scale);
    this.ls2 = new Param([cfg.hidden_size], scale);
  }

  /** [B, L, D] -> [B, L, D] */
  forward(x: Tensor, keep?: readonly [Tensor, Tensor]): Tensor {
    const a = mul(this.attn.forward(this.norm1.forward(x)), value(this.ls1));
    const h = add(x, dropPath(a, keep?.[0]));
    const m = mul(this.mlp.forward(this.norm2.forward(h)), value(this.ls2));
    return add(h, dropPath(m, keep?.[1]));
  }
}

class InternVisionEncoder extends Module {
  readonly layers: ModuleList<InternVisionEncoderLayer>;

  constructor(cfg: VisionConfig) {
    super();
    this.layers = new ModuleList(
      Array.from({ length: cfg.num_hidden_layers }, () => new InternVisionEncoderLayer(cfg)),
    );
  }
}

export class InternVisionModel extends Module {
  readonly embeddings: InternVisionEmbeddings;
  readonly encoder: InternVisionEncoder;

  constructor(readonly cfg: VisionConfig) {
    super();
    if (cfg.hidden_size % cfg.num_attention_heads !== 0)
      throw new ConfigError(
        `InternViT: hidden_size ${cfg.hidden_size} is not a multiple of num_attention_heads ${cfg.num_attention_heads}`,
      );
    this.embeddings = new InternVisionEmbeddings(cfg);
    this.encoder = new InternVisionEncoder(cfg);
  }

  /**
   * Normalised pixels [B, 3, S, S] -> the hidden state after so many layers, by default the last, [B, 1 + N, D], class
   * token first. No final norm.
   */
  forward(
    pixels: Tensor,
    noise: VisionNoise = {},
    run = runLayer,
    layers = this.encoder.layers.items.length,
  ): Tensor {
    if (!(layers >= 0 && layers <= this.encoder.layers.items.length))
      throw new ConfigError(
        `InternViT: the output of layer ${layers} is asked for; it has ${this.encoder.layers.items.length}`,
      );
    let x = this.embeddings.forward(pixels, noise.keptPatches);
    this.encoder.layers.items.slice(0, layers).forEach((layer, i) => {
      const name = `vision_model.encoder.layers.${i}`;
      const { dropPath: all } = noise;
      x = all
        ? run(
            name,
            (x, a, m) => layer.forward(x, [a, m]),
            x,
            branchKeep(all, 2 * i),
            branchKeep(all, 2 * i + 1),
          )
        : run(name, (x) => layer.forward(x), x);
    });
    return x;
  }
}

/** Row i of [2·layers, B, 1, 1] as [B, 1, 1]. */
function branchKeep(all: Tensor, i: number): Tensor {
  return reshape(slice(all, { axis: 0, start: i, end: i + 1 }), [all.shape[1]!, 1, 1]);
}
