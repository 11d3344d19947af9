import { UsageError } from "../core/errors.ts";
import { BeamSearch, type BeamSearchOptions } from "./beam-search.ts";
import type { Decoder, DecoderStep } from "./decoder.ts";
import type { KvCache } from "./kv-cache.ts";
import type { ChosenToken, Sampler } from "./sampling.ts";
import type { TokenHistory } from "./token-history.ts";

/** A prompt: ids of one sequence, and what stands in the places of its image tokens. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly images?: NonNullable<DecoderStep["images"]>;
}

export interface GenerateOptions {
  readonly sampler: Sampler;
  /** Ids that penalties look at; generated ones are added to it. */
  readonly history: TokenHistory;
  readonly maxNewTokens: number;
  /** Ends are not allowed before so many tokens. */
  readonly minNewTokens?: number;
  /** Ids that end the text. */
  readonly stopIds: ReadonlySet<number>;
  /** Tokens of the prompt that are computed at a time; bounds memory and the time until an abort. */
  readonly chunk?: number;
  /** Bit mask of the tokens that may come next (see {@link Sampler}), asked before each. */
  readonly allowed?: () => Uint32Array;
  readonly signal?: AbortSignal;
}

/** Tokens of a prompt that are computed in one run. */
const CHUNK = 512;

/**
 * Extends a cache of one row by a prompt, in chunks; the logits after its last token. With `images`, a chunk gets all
 * image tokens and the places of its own ids.
 */
export async function prefill(
  decoder: Decoder,
  cache: KvCache,
  { ids, images }: Prompt,
  { chunk = CHUNK, signal }: Pick<GenerateOptions, "chunk" | "signal"> = {},
): Promise<Float32Array> {
  if (ids.length === 0) throw new UsageError("generate: the prompt has no tokens");
  const total = cache.length + ids.length;
  let logits: Float32Array | undefined;
  for (let at = 0; at < ids.length; at += chunk) {
    signal?.throwIfAborted();
    const end = Math.min(at + chunk, ids.length);
    const step: DecoderStep = {
      ids: [ids.slice(at, end)],
      total,
      ...(images && { images: { tokens: images.tokens, rows: images.rows.slice(at, end) } }),
    };
    logits = (await decoder.run(cache, step, signal ? { signal } : {})).data;
  }
  return logits!;
}

/**
 * Tokens after a prompt, one at a time, the one that ends the text included. `cache` has one row; it holds what comes
 * before the prompt, and afterwards all tokens but the last. Ends after `maxNewTokens`, or when the cache is full.
 */
export async function* generate(
  decoder: Decoder,
  cache: KvCache,
  prompt: Prompt,
  options: GenerateOptions,
): AsyncGenerator<ChosenToken> {
  const { sampler, history, maxNewTokens, minNewTokens = 0, stopIds, allowed, signal } = options;
  let logits = await prefill(decoder, cache, prompt, options);
  for (let n = 0; n < maxNewTokens; n++) {
    signal?.throwIfAborted();
    const token = sampler.next(logits, history, {
      ...(n < minNewTokens && { banned: [...stopIds] }),
      ...(allowed && { mask: allowed() }),
    });
    history.add(token.id);
    yield token;
    if (stopIds.has(token.id) || n + 1 === maxNewTokens || cache.length === cache.capacity) return;
    logits = (await decoder.run(cache, { ids: [[token.id]] }, signal ? { signal } : {})).data;
  }
}

/** The best text that beam search finds after a prompt; see {@link BeamSearch}. The caches live for the search only. */
export async function searchBeams(
  decoder: Decoder,
  prompt: Prompt,
  options: BeamSearchOptions,
  context: {
    readonly stopIds: ReadonlySet<number>;
    readonly seen?: Iterable<number>;
    readonly signal?: AbortSignal;
  },
): Promise<readonly number[]> {
  const { stopIds, seen = [], signal } = context;
  const search = new BeamSearch(options, { eosIds: [...stopIds], seen });
  const capacity = prompt.ids.length + options.max_new_tokens;
  using first = decoder.cache(1, capacity);
  using a = decoder.cache(options.num_beams, capacity);
  using b = decoder.cache(options.num_beams, capacity);
  let rows = [await prefill(decoder, first, prompt, context)];
  let from = first;
  for (;;) {
    signal?.throwIfAborted();
    const { parents, tokens } = search.advance(rows);
    if (search.done) return search.best().ids;
    const into = from === a ? b : a;
    await decoder.reorder(from, parents, into);
    const { data } = await decoder.run(into, { ids: tokens.map((id) => [id]) }, signal ? { signal } : {});
    const V = data.length / tokens.length;
    rows = tokens.map((_, i) => data.subarray(i * V, (i + 1) * V));
    from = into;
  }
}
