import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { CausalLanguageModel } from "../nn/decoder.ts";
import { LayerNorm, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { dims, gelu, rearrange, slice } from "../ops/index.ts";
import { InternVisionModel, VisionConfig } from "./intern_vit.ts";
import { runLayer } from "./run-layer.ts";

/**
 * InternVL-Chat 1.1 to 3.5 (arXiv:2404.16821, 2412.05271, 2504.10479, 2508.18265; internvl_chat/internvl/model/
 * internvl_chat): InternViT, pixel shuffle, a projector and a language model. In the names of the GitHub format.
 */
export const InternVLChatConfig = z.strictObject({
  vision_config: VisionConfig,
  template: z.string().optional(),
  system_message: z.string().nullable().default(null),
  force_image_size: z.int().positive().nullable().default(null),
  downsample_ratio: z.literal(0.5).default(0.5),
  /** A file that does not say is of the first version, whose tokens go column by column. */
  ps_version: z.enum(["v1", "v2"]).default("v1"),
  /** Layer whose output is taken; −1 is the last, others count the embeddings as 0. */
  select_layer: z.int().default(-1),
  dynamic_image_size: z.boolean().default(false),
  use_thumbnail: z.boolean().default(false),
  min_dynamic_patch: z.int().positive().default(1),
  max_dynamic_patch: z.int().positive().default(6),
  pad2square: z.boolean().default(false),
  /** Rank of adapters that the file holds beside the weights; 0 for none. */
  use_backbone_lora: z.int().min(0).default(0),
  use_llm_lora: z.int().min(0).default(0),
});
export type InternVLChatConfig = z.infer<typeof InternVLChatConfig>;

const PROJECTOR_NORM_EPS = 1e-5;

/** LayerNorm, Linear, GELU, Linear; fields are the indices of the published nn.Sequential. */
class Projector extends Module {
  readonly 0: LayerNorm;
  readonly 1: Linear;
  readonly 3: Linear;

  constructor(width: number, out: number) {
    super();
    this[0] = new LayerNorm(width, PROJECTOR_NORM_EPS);
    this[1] = new Linear(width, out);
    this[3] = new Linear(out, out);
  }

  /** [.., 4·C] -> [.., D] */
  forward(x: Tensor): Tensor {
    return this[3].forward(gelu(this[1].forward(this[0].forward(x))));
  }
}

export class InternVLChat extends Module {
  readonly vision_model: InternVisionModel;
  readonly language_model: CausalLanguageModel;
  readonly mlp1: Projector;
  /** Side of a tile in pixels. */
  readonly imageSize: number;
  /** Tokens of the language model that a tile takes. */
  readonly tokensPerTile: number;

  constructor(
    readonly cfg: InternVLChatConfig,
    language: CausalLanguageModel,
  ) {
    super();
    this.imageSize = cfg.force_image_size ?? cfg.vision_config.image_size;
    const vision = { ...cfg.vision_config, image_size: this.imageSize };
    const side = this.imageSize / vision.patch_size;
    if (side % 2 !== 0)
      throw new ConfigError(
        `InternVL-Chat: ${this.imageSize} pixels are ${side} patches of ${vision.patch_size}; expected an even number, as two by two become one token`,
      );
    this.tokensPerTile = (side / 2) ** 2;
    this.vision_model = new InternVisionModel(vision);
    this.language_model = language;
    this.mlp1 = new Projector(4 * vision.hidden_size, language.shape.hidden_size);
  }

  /** Normalised tiles [N, 3, S, S] -> image tokens [N, T, D] (`extract_feature`). */
  encodeTiles(pixels: Tensor, run = runLayer): Tensor {
    const { select_layer } = this.cfg;
    const layers =
      select_layer < 0 ? this.cfg.vision_config.num_hidden_layers + 1 + select_layer : select_layer;
    const hidden = this.vision_model.forward(pixels, {}, run, layers);
    const { L } = dims(hidden, "N L C");
    const patches = slice(hidden, { axis: 1, start: 1, end: L });
    return this.mlp1.forward(pixelShuffle(patches, this.cfg.ps_version));
  }
}

/**
 * Joins two by two patches [N, h·w, C] of a square picture -> [N, h·w/4, 4·C]. A token holds its upper two patches, then
 * its lower two; tokens go row by row in version 2 and column by column in version 1.
 */
export function pixelShuffle(x: Tensor, version: "v1" | "v2"): Tensor {
  const half = Math.sqrt(Number(x.shape[1])) / 2;
  const order = version === "v2" ? "(h w)" : "(w h)";
  return rearrange(x, `N (h a w b) C -> N ${order} (a b C)`, { h: half, a: 2, w: half, b: 2 });
}
