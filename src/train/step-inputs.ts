import { type HostTensor, i64 } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";
import type { TrainingBatch } from "../data/batches.node.ts";
import { encodeForInternVLC } from "../text/clip-text.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { drawDropPath, drawKeptPatches } from "./noise.ts";
import type { StepInputs } from "./trainer.ts";

/** Texts are padded to a multiple of this, so that few different shapes occur. */
const TEXT_LENGTH_STEP = 8;

export interface StepInputOptions {
  readonly maxTextTokens: number;
  readonly patches: number;
  /** Patches that the vision tower sees; all: none are drawn. */
  readonly keptPatches: number;
  readonly layers: number;
  /** Rate of stochastic depth; 0: none. */
  readonly dropPath: number;
  /** Forked by step: a step's noise does not depend on where the run began. */
  readonly rng: Rng;
}

/** One batch as inputs of the training graph: pictures, all their texts, and the step's noise. */
export function stepInputs(
  { step, pixels, texts }: TrainingBatch,
  tokenizer: Tokenizer,
  { maxTextTokens, patches, keptPatches, layers, dropPath, rng }: StepInputOptions,
): StepInputs {
  const B = pixels.shape[0]!;
  const { ids, lengths } = encodeForInternVLC(tokenizer, texts, { maxLength: maxTextTokens });
  const eos = i64(
    [lengths.length],
    lengths.map((n) => n - 1),
  );
  return {
    images: pixels,
    ids: padTo(ids, TEXT_LENGTH_STEP),
    eos,
    ...(keptPatches < patches && {
      kept: drawKeptPatches(rng.fork(`patches/${step}`), B, patches, keptPatches),
    }),
    ...(dropPath > 0 && { drop: drawDropPath(rng.fork(`drop_path/${step}`), 2 * layers, B, dropPath) }),
  };
}

/** ids [B, L] padded with 0 to the next multiple of `step` columns. */
function padTo(ids: HostTensor<"i64">, step: number): HostTensor<"i64"> {
  const [B, L] = ids.shape as [number, number];
  const width = Math.ceil(L / step) * step;
  const out = new BigInt64Array(B * width);
  for (let b = 0; b < B; b++) out.set(ids.data.subarray(b * L, (b + 1) * L), b * width);
  return { dtype: "i64", shape: [B, width], data: out };
}
