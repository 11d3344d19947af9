import { input, type Tensor } from "../graph/tensor.ts";
import { embedPrompt } from "../models/embed-prompt.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { normalizePixels } from "../models/pixels.ts";
import { wholeSequence } from "../nn/decoder.ts";
import { crossEntropy } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { expand, reshape, takeAlong } from "../ops/index.ts";
import { buildTrainingStep, type TrainingStep, type UpdateOptions } from "./training-step.ts";

export interface SftLossOptions {
  /** Rows of a batch, B. */
  readonly batchSize: number;
  /** Bound on L. */
  readonly maxTokens: number;
}

/**
 * The loss of fine-tuning, a scalar in nats. Inputs: images u8 [B, S, S, 3], one tile a row; ids i64 [B, L], padded on
 * the right; rows i64 [B, L], the image token of each place (b·T + i for the i-th of row b) or −1; places i64 [B, K],
 * the positions that are trained, targets i64 [B, K], the ids that follow them, and their weights f32 [B, K].
 */
export function sftLoss(model: InternVLChat, { batchSize: B, maxTokens }: SftLossOptions): Tensor {
  const language = model.language_model;
  const S = model.imageSize;
  const D = language.shape.hidden_size;
  const tiles = model.encodeTiles(normalizePixels(input("images", "u8", [B, S, S, 3])));
  const tokens = reshape(tiles, [B * model.tokensPerTile, D]);
  const ids = input("ids", "i64", [B, "L"]);
  const x = embedPrompt(language, ids, tokens, input("rows", "i64", [B, "L"]));
  // Padding is on the right: no position of the text sees it.
  const hidden = language.decode(x, wholeSequence(language.shape.rope, "L", maxTokens));
  // The head is computed where something is trained: most of a conversation is the user's.
  const places = expand(reshape(input("places", "i64", [B, "K"]), [B, "K", 1]), [B, "K", D]);
  const logits = language.logits(takeAlong(hidden, places, { axis: 1 }));
  return crossEntropy(logits, input("targets", "i64", [B, "K"]), input("weights", "f32", [B, "K"]));
}

/**
 * Supervised fine-tuning as one graph: vision tower, projector, language model, loss, backward, clipping and AdamW.
 * Inputs are those of {@link sftLoss} and buildTrainingStep; outputs loss, grad_norm and the new state.
 */
export const buildSftStep = (model: InternVLChat, options: SftLossOptions & UpdateOptions): TrainingStep =>
  buildTrainingStep(parameters(model).values(), { loss: sftLoss(model, options) }, options);
