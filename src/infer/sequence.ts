import type { HostTensor } from "../core/array.ts";
import { f32 } from "../core/array.ts";
import { UsageError } from "../core/errors.ts";
import type { StepLogits } from "./bound-step.ts";
import type { Decoder, DecoderStep } from "./decoder.ts";
import type { KvCache } from "./kv-cache.ts";

/** A prompt: ids of one sequence, and what stands in the places of its image tokens. */
export interface Prompt {
  readonly ids: readonly number[];
  /** Image tokens [R, D] in the order of their places, and for each id its row, negative for text. */
  readonly images?: { readonly tokens: HostTensor<"f32">; readonly rows: readonly number[] };
}

/** What a model says of the next token of a text. */
export interface NextLogits {
  /** [V] */
  readonly logits: Float32Array;
  /** log Σ exp(logits), in f32. */
  readonly logSum: number;
}

/** What a step says of the text in one of its rows. */
export function nextLogits({ data, shape, logSums }: StepLogits, row: number): NextLogits {
  const V = shape[1]!;
  return { logits: data.subarray(row * V, (row + 1) * V), logSum: logSums[row]! };
}

/** A text as a decoder reads and writes it: a prompt, then token after token. */
export interface Sequence {
  /** Positions that can still be added. */
  readonly room: number;
  /** Adds a prompt; the logits after its last token. Throws a UsageError for an empty one. */
  prefill(prompt: Prompt, options?: SequenceOptions): Promise<NextLogits>;
  /** Adds a token; the logits after it. */
  next(id: number, options?: SequenceOptions): Promise<NextLogits>;
}

export interface SequenceOptions {
  readonly signal?: AbortSignal;
}

/** The sequence of a cache with one row, which must not be used otherwise meanwhile. */
export function sequenceOf(
  decoder: Decoder,
  cache: KvCache,
  chunk = decoder.chunkFor(cache.capacity),
): Sequence {
  return {
    get room() {
      return cache.capacity - cache.length;
    },
    async prefill(prompt, options = {}) {
      const parts = promptParts(prompt, cache.length);
      for (;;) {
        options.signal?.throwIfAborted();
        const logits = await decoder.run(cache, parts.next(chunk), options);
        if (parts.isDone) return nextLogits(logits, 0);
      }
    },
    async next(id, options = {}) {
      return nextLogits(await decoder.run(cache, { ids: [[id]] }, options), 0);
    },
  };
}

/** A prompt that is read piece by piece. */
export interface PromptParts {
  readonly isDone: boolean;
  /** The next `length` ids, or what is left. */
  next(length: number): DecoderStep & { readonly ids: readonly [readonly number[]] };
}

/** Cuts a prompt that follows `held` positions. Throws a UsageError for an empty one. */
export function promptParts({ ids, images }: Prompt, held: number): PromptParts {
  if (ids.length === 0) throw new UsageError("generate: the prompt has no tokens");
  const total = held + ids.length;
  let at = 0;
  return {
    get isDone() {
      return at === ids.length;
    },
    next(length) {
      const start = at;
      at = Math.min(at + length, ids.length);
      const seen = images && imagesWithin(images, start, at);
      return { ids: [ids.slice(start, at)], total, ...(seen && { images: seen }) };
    },
  };
}

/** Image tokens of some positions; undefined where there are none. */
function imagesWithin({ tokens, rows }: NonNullable<Prompt["images"]>, start: number, end: number) {
  const own = rows.slice(start, end);
  const used = own.filter((row) => row >= 0);
  if (used.length === 0) return undefined;
  const [first, last] = [Math.min(...used), Math.max(...used)];
  const width = tokens.shape[1]!;
  const data = tokens.data.subarray(first * width, (last + 1) * width);
  return {
    tokens: f32([last + 1 - first, width], data),
    rows: own.map((row) => (row < 0 ? row : row - first)),
  };
}
