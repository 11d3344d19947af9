import { checkpoint } from "../autodiff/index.ts";
import { input } from "../graph/tensor.ts";
import type { InternVLC } from "../models/internvl_c.ts";
import { normalizePixels } from "../models/pixels.ts";
import { runLayer } from "../models/run-layer.ts";
import { contrastiveLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { add, mul, split } from "../ops/index.ts";
import { buildTrainingStep, type TrainingStep, type UpdateOptions } from "./training-step.ts";

export interface ContrastiveStepOptions extends UpdateOptions {
  /** Pictures of a batch, B. */
  readonly batchSize: number;
  /** Captions of each picture, C; the loss is the mean over them. Default 1. */
  readonly captions?: number;
  /** Pairs of texts beside the pictures, P; their contrastive loss times `weight` is added. */
  readonly textPairs?: { readonly count: number; readonly weight: number };
  /** Pictures as u8 [B, S, S, 3] (training) or as normalised pixels f32 [B, 3, S, S] (reference cases). */
  readonly images: "u8" | "normalised";
  /** Patches kept per picture, or undefined for all. */
  readonly keptPatches?: number;
  /** Whether stochastic depth is an input. */
  readonly dropPath?: boolean;
  /** Whether each layer's values are recomputed in the backward pass: less memory for more time. */
  readonly recompute?: boolean;
}

/**
 * Stage 1 of InternVL (arXiv:2312.14238 §4.1) as one graph: forward, backward, clipping by global norm and AdamW.
 * Inputs: images, ids i64 [C·B + 2·P, L] (every picture's first caption, then every second; every text pair's first
 * text, then every second), eos i64 [C·B + 2·P], kept i64 [B, K], drop [2·layers, B, 1, 1], rate.GROUP, correction1,
 * correction2, the state, and the frozen weights. Outputs: loss, grad_norm, scale, with text pairs pair_loss (not
 * weighted), and the new state. Throws a ConfigError when groups overlap or match nothing.
 */
export function buildContrastiveStep(model: InternVLC, options: ContrastiveStepOptions): TrainingStep {
  const { batchSize: B, captions: C = 1 } = options;
  const S = model.imageSize;
  const layers = model.cfg.vision_config.num_hidden_layers;
  const pixels =
    options.images === "u8"
      ? normalizePixels(input("images", "u8", [B, S, S, 3]))
      : input("images", "f32", [B, 3, S, S]);
  const noise = {
    ...(options.keptPatches && { keptPatches: input("kept", "i64", [B, options.keptPatches]) }),
    ...(options.dropPath && { dropPath: input("drop", "f32", [2 * layers, B, 1, 1]) }),
  };
  const run = options.recompute ? checkpoint : runLayer;
  const images = model.encodeImage(pixels, noise, run);
  const { count: P, weight } = options.textPairs ?? { count: 0, weight: 0 };
  const rows = [...Array.from({ length: C }, () => B), ...(P > 0 ? [P, P] : [])];
  const total = C * B + 2 * P;
  const texts = model.encodeText(input("ids", "i64", [total, "L"]), input("eos", "i64", [total]), run);
  const parts = split.outputs(texts, { axis: 0, sizes: rows });
  const losses = parts.slice(0, C).map((caption) => contrastiveLoss(images, caption, model.scale()));
  const captionLoss = mul(losses.reduce(add), 1 / C);
  const pairLoss = P > 0 ? contrastiveLoss(parts[C]!, parts[C + 1]!, model.scale()) : undefined;
  const loss = pairLoss ? add(captionLoss, mul(pairLoss, weight)) : captionLoss;
  const measured = { loss, scale: model.scale(), ...(pairLoss && { pair_loss: pairLoss }) };
  return buildTrainingStep(parameters(model).values(), measured, options);
}
