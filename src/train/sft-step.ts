import { input, type Tensor } from "../graph/tensor.ts";
import { embedPrompt } from "../models/embed-prompt.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { normalizePixels } from "../models/pixels.ts";
import { wholeSequence } from "../nn/decoder.ts";
import { nextTokenLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { reshape } from "../ops/index.ts";
import { buildTrainingStep, type TrainingStep, type UpdateOptions } from "./training-step.ts";

export interface SftLossOptions {
  /** Rows of a batch, B. */
  readonly batchSize: number;
  /** Bound on L. */
  readonly maxTokens: number;
}

/**
 * The loss of fine-tuning, a scalar in nats. Inputs: images u8 [B, S, S, 3], one tile a row; ids i64 [B, L], padded on
 * the right; rows i64 [B, L], the image token of each place (b·T + i for the i-th of row b) or −1; labels i64 [B, L],
 * negative where nothing is trained; weights f32 [B, L] of the labels.
 */
export function sftLoss(model: InternVLChat, { batchSize: B, maxTokens }: SftLossOptions): Tensor {
  const language = model.language_model;
  const S = model.imageSize;
  const tiles = model.encodeTiles(normalizePixels(input("images", "u8", [B, S, S, 3])));
  const tokens = reshape(tiles, [B * model.tokensPerTile, language.shape.hidden_size]);
  const ids = input("ids", "i64", [B, "L"]);
  const x = embedPrompt(language, ids, tokens, input("rows", "i64", [B, "L"]));
  // Padding is on the right: no position of the text sees it.
  const hidden = language.decode(x, wholeSequence(language.shape.rope, "L", maxTokens));
  const labels = input("labels", "i64", [B, "L"]);
  return nextTokenLoss(language.logits(hidden), labels, input("weights", "f32", [B, "L"]));
}

/**
 * Supervised fine-tuning as one graph: vision tower, projector, language model, loss, backward, clipping and AdamW.
 * Inputs are those of {@link sftLoss} and buildTrainingStep; outputs loss, grad_norm and the new state.
 */
export const buildSftStep = (model: InternVLChat, options: SftLossOptions & UpdateOptions): TrainingStep =>
  buildTrainingStep(parameters(model).values(), { loss: sftLoss(model, options) }, options);
