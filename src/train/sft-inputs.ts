import { f32, type HostTensor, i64 } from "../core/array.ts";
import { IGNORED, type TrainingText } from "../text/training-text.ts";
import type { StepInputs } from "./trainer.ts";

/** Texts are padded to a multiple of this, so that few different shapes occur. */
const LENGTH_STEP = 8;

/** Weight of a trained token in a row with n of them (OpenGVLab/InternVL, `loss_reduction`). */
export const TOKEN_WEIGHT = {
  token: () => 1,
  sample: (n: number) => 1 / n,
  square: (n: number) => 1 / Math.sqrt(n),
} as const satisfies Record<string, (n: number) => number>;
export type LossReduction = keyof typeof TOKEN_WEIGHT;

export interface SftInputOptions {
  readonly reduction: LossReduction;
  /** Image tokens of a tile, T, and their id in a text. */
  readonly tokensPerTile: number;
  readonly contextId: number;
}

/** A batch of texts and their pictures, u8 [B, S, S, 3], as inputs of the graph of `sftLoss`. */
export function sftInputs(
  texts: readonly TrainingText[],
  images: HostTensor<"u8">,
  { reduction, tokensPerTile: T, contextId }: SftInputOptions,
): StepInputs {
  const B = texts.length;
  const longest = Math.max(...texts.map(({ ids }) => ids.length));
  const L = Math.ceil(longest / LENGTH_STEP) * LENGTH_STEP;
  const ids = new Array<number>(B * L).fill(0);
  const rows = new Array<number>(B * L).fill(-1);
  const labels = new Array<number>(B * L).fill(IGNORED);
  const weights = new Float32Array(B * L);
  for (const [b, text] of texts.entries()) {
    const weight = TOKEN_WEIGHT[reduction](trainedTokens(text));
    let next = b * T;
    for (const [i, id] of text.ids.entries()) {
      const at = b * L + i;
      ids[at] = id;
      if (id === contextId) rows[at] = next++;
      labels[at] = text.labels[i]!;
      if (labels[at]! >= 0) weights[at] = weight;
    }
  }
  const shape = [B, L];
  return {
    images,
    ids: i64(shape, ids),
    rows: i64(shape, rows),
    labels: i64(shape, labels),
    weights: f32(shape, weights),
  };
}

/** Tokens of a row that count. */
export const trainedTokens = ({ labels }: TrainingText): number => labels.filter((id) => id >= 0).length;
