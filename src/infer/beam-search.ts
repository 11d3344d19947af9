import { z } from "zod";
import { ShapeError, UsageError } from "../core/errors.ts";
import { BestOf, logSumExp, penalizeRepetition } from "./logits.ts";

/** Options of beam search, by transformers' names. */
export const BeamSearchOptions = z
  .strictObject({
    num_beams: z.int().min(2).max(64),
    max_new_tokens: z.int().positive(),
    /** The end is not allowed before so many tokens. */
    min_new_tokens: z.int().nonnegative().default(0),
    /** As in sampling, but on log probabilities: transformers applies it after the softmax in this mode. */
    repetition_penalty: z.number().positive().max(100).default(1),
    /** A finished text's score is its log probability divided by its length to this power. */
    length_penalty: z.number().min(-10).max(10).default(1),
  })
  .refine((o) => o.min_new_tokens <= o.max_new_tokens, {
    path: ["min_new_tokens"],
    error: "expected at most max_new_tokens",
  });
export type BeamSearchOptions = z.infer<typeof BeamSearchOptions>;

/** What a search is given by the model and the prompt. */
export interface BeamContext {
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
  /** The prompt's ids, where the repetition penalty counts them. */
  readonly seen?: Iterable<number>;
}

/** A text that beam search found. */
export interface BeamResult {
  /** The generated ids, the one that ends the text included. */
  readonly ids: readonly number[];
  /** Log probability (nats, after the repetition penalty) / length^length_penalty. */
  readonly score: number;
}

/** How the beams go on: beam `i` extends the former beam `parents[i]` by `tokens[i]`. */
export interface BeamStep {
  readonly parents: readonly number[];
  readonly tokens: readonly number[];
}

/** An unfinished text as a list from its end. */
interface Beam {
  readonly logprob: number;
  readonly text: Link | undefined;
}
interface Link {
  readonly id: number;
  readonly before: Link | undefined;
}

/**
 * Beam search for one prompt, as transformers' `generate(num_beams=k, do_sample=False, early_stopping=False)` does it
 * (release 5.23, `_beam_search`), without the model: the caller computes logits and reorders its cache by `parents`.
 *
 * Each step takes the (1 + number of end tokens) · k best continuations. Those of the best k that end a text compete for
 * the k finished ones; the best k that do not end one are the next beams. The search is done at max_new_tokens, or when
 * k texts are finished and the best beam, scored at its present length, is not above the worst of them. Equal scores
 * go by beam, then by id.
 */
export class BeamSearch {
  readonly #options: BeamSearchOptions;
  readonly #eos: ReadonlySet<number>;
  readonly #seen: readonly number[];
  #beams: readonly Beam[] = [{ logprob: 0, text: undefined }];
  #finished: readonly BeamResult[] = [];
  #length = 0;
  #done = false;

  /** Throws a UsageError with all problems of the options. */
  constructor(options: z.input<typeof BeamSearchOptions>, { eosIds, seen = [] }: BeamContext) {
    const parsed = BeamSearchOptions.safeParse(options);
    if (!parsed.success)
      throw new UsageError(
        `beam search: not its options:\n${z.prettifyError(parsed.error).replace(/^/gm, "  ")}`,
      );
    this.#options = parsed.data;
    this.#eos = new Set(eosIds);
    this.#seen = [...new Set(seen)];
  }

  /** Whether the search has ended: `advance` must not be called again. */
  get done(): boolean {
    return this.#done;
  }

  /** How many rows of logits `advance` expects: 1 for the prompt, then num_beams. */
  get width(): number {
    return this.#beams.length;
  }

  /**
   * One step: `logits` has one row [V] for each beam, and is left as it is. Throws a ShapeError for another number of
   * rows or after the end, a UsageError when the vocabulary is too small for so many beams.
   */
  advance(logits: readonly Float32Array[]): BeamStep {
    if (this.#done) throw new ShapeError("beam search: advance after the search was done");
    if (logits.length !== this.width)
      throw new ShapeError(`beam search: expected ${this.width} rows of logits, found ${logits.length}`);
    const { num_beams, max_new_tokens } = this.#options;
    const candidates = this.#candidates(logits);
    this.#length++;
    const full = this.#length >= max_new_tokens;
    const ended = candidates.slice(0, num_beams).filter((c) => full || this.#eos.has(c.token));
    this.#finish(ended);
    const next = candidates.filter((c) => !this.#eos.has(c.token)).slice(0, num_beams);
    this.#beams = next.map(({ parent, token, logprob }) => ({
      logprob,
      text: { id: token, before: this.#beams[parent]!.text },
    }));
    this.#done = full || !this.#canImprove();
    return { parents: next.map((c) => c.parent), tokens: next.map((c) => c.token) };
  }

  /** Finished texts, best first: at most num_beams, and at least one once the search is done. */
  results(): readonly BeamResult[] {
    return this.#finished;
  }

  /** The best finished text; before there is one, the best beam. */
  best(): BeamResult {
    return this.#finished[0] ?? this.#result(this.#beams[0]!);
  }

  /** The best continuations of all beams, best first. */
  #candidates(logits: readonly Float32Array[]): { parent: number; token: number; logprob: number }[] {
    const V = logits[0]!.length;
    const keep = Math.max(2, 1 + this.#eos.size) * this.#options.num_beams;
    if (V < keep)
      throw new UsageError(
        `beam search: ${this.#options.num_beams} beams need a vocabulary of at least ${keep} tokens, found ${V}`,
      );
    const best = new BestOf(keep);
    for (const [parent, row] of logits.entries()) {
      if (row.length !== V)
        throw new ShapeError(`beam search: rows of logits differ in length, ${V} and ${row.length}`);
      const scores = this.#logprobs(row, this.#beams[parent]!);
      const { logprob } = this.#beams[parent]!;
      for (let token = 0; token < V; token++) {
        const total = logprob + scores[token]!;
        if (total > best.floor || best.values.length < keep) best.offer(parent * V + token, total);
      }
    }
    return best.indices.map((index, i) => ({
      parent: Math.floor(index / V),
      token: index % V,
      logprob: best.values[i]!,
    }));
  }

  /** Log probabilities of the next token of a beam, after the penalty and without ends that come too early. */
  #logprobs(row: Float32Array, beam: Beam): Float32Array {
    const { repetition_penalty, min_new_tokens } = this.#options;
    const total = logSumExp(row);
    const scores = row.map((x) => x - total);
    if (repetition_penalty !== 1)
      penalizeRepetition(scores, new Set([...this.#seen, ...idsOf(beam.text)]), repetition_penalty);
    if (this.#length < min_new_tokens) for (const id of this.#eos) scores[id] = -Infinity;
    return scores;
  }

  #finish(ended: readonly { parent: number; token: number; logprob: number }[]): void {
    const results = ended.map(({ parent, token, logprob }) =>
      this.#result({ logprob, text: { id: token, before: this.#beams[parent]!.text } }),
    );
    // Sorting is stable: of equal scores the earlier stays first.
    this.#finished = [...this.#finished, ...results]
      .sort((a, b) => b.score - a.score)
      .slice(0, this.#options.num_beams);
  }

  #canImprove(): boolean {
    const { num_beams } = this.#options;
    if (this.#finished.length < num_beams) return true;
    return this.#score(this.#beams[0]!.logprob) > this.#finished[num_beams - 1]!.score;
  }

  #score = (logprob: number): number => logprob / Math.max(1, this.#length) ** this.#options.length_penalty;

  #result = ({ logprob, text }: Beam): BeamResult => ({ ids: idsOf(text), score: this.#score(logprob) });
}

/** The ids of a text in reading order. */
function idsOf(text: Link | undefined): number[] {
  const ids: number[] = [];
  for (let link = text; link !== undefined; link = link.before) ids.push(link.id);
  return ids.reverse();
}
