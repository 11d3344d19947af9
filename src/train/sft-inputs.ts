import { f32, type HostTensor, i64 } from "../core/array.ts";
import type { TrainingText } from "../text/training-text.ts";
import type { StepInputs } from "./trainer.ts";

/** Lengths are padded to a multiple of this, so that few different shapes occur. */
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
  const L = wholeSteps(Math.max(...texts.map(({ ids }) => ids.length)));
  const K = wholeSteps(Math.max(...texts.map(trainedTokens)));
  const ids = new Array<number>(B * L).fill(0);
  const rows = new Array<number>(B * L).fill(-1);
  const places = new Array<number>(B * K).fill(0);
  const targets = new Array<number>(B * K).fill(0);
  const weights = new Float32Array(B * K);
  for (const [b, text] of texts.entries()) {
    const weight = TOKEN_WEIGHT[reduction](trainedTokens(text));
    let token = b * T;
    let k = b * K;
    for (const [i, id] of text.ids.entries()) {
      ids[b * L + i] = id;
      if (id === contextId) rows[b * L + i] = token++;
      if (text.labels[i]! < 0) continue;
      places[k] = i - 1;
      targets[k] = text.labels[i]!;
      weights[k++] = weight;
    }
  }
  return {
    images,
    ids: i64([B, L], ids),
    rows: i64([B, L], rows),
    places: i64([B, K], places),
    targets: i64([B, K], targets),
    weights: f32([B, K], weights),
  };
}

const wholeSteps = (n: number): number => Math.ceil(n / LENGTH_STEP) * LENGTH_STEP;

/** Tokens of a row that count. */
export const trainedTokens = ({ labels }: TrainingText): number => labels.filter((id) => id >= 0).length;
