import { BeamSearch, type BeamSearchOptions } from "./beam-search.ts";
import type { Decoder } from "./decoder.ts";
import type { ChosenToken, Sampler } from "./sampling.ts";
import { type NextLogits, type Prompt, type Sequence, type SequenceOptions, sequenceOf } from "./sequence.ts";
import type { TokenHistory } from "./token-history.ts";

export interface GenerateOptions extends SequenceOptions {
  readonly sampler: Sampler;
  /** Ids that penalties look at; generated ones are added to it. */
  readonly history: TokenHistory;
  readonly maxNewTokens: number;
  /** Ends are not allowed before so many tokens. */
  readonly minNewTokens?: number;
  /** Ids that end the text. */
  readonly stopIds: ReadonlySet<number>;
  /** Bit mask of the tokens that may come next (see {@link Sampler}), asked before each. */
  readonly allowed?: () => Uint32Array;
}

/**
 * Tokens after a prompt, one at a time, the one that ends the text included. The sequence holds what comes before the
 * prompt, and afterwards all tokens but the last, which it may hold where the reader leaves early. Ends after
 * `maxNewTokens`, or when there is no more room. The sequence is free again when the generator has returned.
 */
export async function* generate(
  sequence: Sequence,
  prompt: Prompt,
  options: GenerateOptions,
): AsyncGenerator<ChosenToken> {
  const { sampler, history, maxNewTokens, minNewTokens = 0, stopIds, allowed, signal } = options;
  let next: Promise<NextLogits> | undefined = sequence.prefill(prompt, options);
  try {
    for (let n = 0; next !== undefined && n < maxNewTokens; n++) {
      const { logits, logSum } = await next;
      signal?.throwIfAborted();
      const token = sampler.next(logits, history, {
        logSum,
        ...(n < minNewTokens && { banned: [...stopIds] }),
        ...(allowed && { mask: allowed() }),
      });
      history.add(token.id);
      const isLast = stopIds.has(token.id) || n + 1 === maxNewTokens || sequence.room === 0;
      // The model goes on while the reader has the token.
      next = isLast ? undefined : sequence.next(token.id, options);
      next?.catch(() => {}); // told above, unless the reader has left
      yield token;
    }
  } finally {
    await next?.catch(() => {});
  }
}

/** The best text that beam search finds after a prompt; see {@link BeamSearch}. The caches live for the search only. */
export async function searchBeams(
  decoder: Decoder,
  prompt: Prompt,
  options: BeamSearchOptions,
  context: SequenceOptions & {
    readonly stopIds: ReadonlySet<number>;
    readonly seen?: Iterable<number>;
  },
): Promise<readonly number[]> {
  const { stopIds, seen = [], signal } = context;
  const search = new BeamSearch(options, { eosIds: [...stopIds], seen });
  const capacity = prompt.ids.length + options.max_new_tokens;
  using first = decoder.cache(1, capacity);
  using a = decoder.cache(options.num_beams, capacity);
  using b = decoder.cache(options.num_beams, capacity);
  let rows = [(await sequenceOf(decoder, first).prefill(prompt, context)).logits];
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
