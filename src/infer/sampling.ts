import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { Drawer } from "./draw.ts";
import { argmax, logSumExp, penalizeRepetition, topIndices } from "./logits.ts";
import type { SamplingOptions } from "./sampling-options.ts";
import type { TokenHistory } from "./token-history.ts";

export interface TokenLogprob {
  readonly id: number;
  /** Natural logarithm of the probability. */
  readonly logprob: number;
}

/** A chosen token. Log probabilities are the model's own: of the logits as they came, before any option. */
export interface ChosenToken extends TokenLogprob {
  /** The most likely tokens, most likely first; as many as `top_logprobs` says, absent for 0. */
  readonly topLogprobs?: readonly TokenLogprob[];
}

/** What is known of one step beside its logits. */
export interface StepContext {
  /** log Σ exp(logits), where it is known; one that is not finite is computed again. */
  readonly logSum?: number;
  /** Bit `id & 31` of word `id >> 5` is 1 for each token that is allowed; ids beyond its end are not. */
  readonly mask?: Uint32Array;
  /** Single ids that are not allowed: the end of the text where it is too early for it. */
  readonly banned?: readonly number[];
}

/** Chooses the tokens of one text. */
export interface Sampler {
  /**
   * The next token for `logits` [V], which are left as they are. Throws a RuntimeFailure for logits that hold NaN or
   * +Infinity or when no token is allowed, and a UsageError when logit_bias names an id outside [0, V).
   */
  next(logits: Float32Array, history: TokenHistory, step?: StepContext): ChosenToken;
}

/**
 * A sampler for one text. `choice` is the number of the text among several for one prompt (`n`): each has random
 * numbers of its own, and the same (seed, choice) always the same.
 *
 * The logits go through, in the order of transformers' `generate` (release 5.23, `_get_logits_processor`): bias,
 * repetition penalty, presence and frequency penalty (which transformers lacks), forbidden tokens, temperature, top_k,
 * top_p, min_p. Tokens of equal logits are ordered by id, so that every filter keeps a prefix of one order.
 * DIFFERS: transformers' top_k keeps all tokens that equal the k-th, this one exactly k.
 *
 * Log probabilities are those of the model, as in vLLM's default `raw_logprobs`: they do not depend on the options.
 */
export function createSampler(options: SamplingOptions, choice = 0): Sampler {
  const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
  return new LogitsSampler(options, new Rng(seed).fork(`choice/${choice}`));
}

class LogitsSampler implements Sampler {
  readonly #bias: readonly (readonly [number, number])[];
  readonly #drawer: Drawer;
  #scores = new Float32Array(0);

  constructor(
    readonly options: SamplingOptions,
    rng: Rng,
  ) {
    this.#bias = Object.entries(options.logit_bias).map(([id, bias]) => [Number(id), bias] as const);
    this.#drawer = new Drawer(options, rng);
  }

  next(logits: Float32Array, history: TokenHistory, step: StepContext = {}): ChosenToken {
    // A sum that is no number is computed again for its error, which tells what is wrong.
    const total = Number.isFinite(step.logSum) ? step.logSum! : logSumExp(logits);
    const scores = this.#process(logits, history, step);
    const id = this.options.temperature === 0 ? argmax(scores) : this.#drawer.draw(scores);
    if (id < 0)
      throw new RuntimeFailure(
        "sampling: no token is allowed; what constrains the text leaves no way to go on",
      );
    const withLogprob = (id: number) => ({ id, logprob: logits[id]! - total });
    const { top_logprobs } = this.options;
    if (top_logprobs === 0) return withLogprob(id);
    return { ...withLogprob(id), topLogprobs: topIndices(logits, top_logprobs).map(withLogprob) };
  }

  /** The logits after all that does not depend on temperature; a copy where anything changes. */
  #process(logits: Float32Array, history: TokenHistory, { mask, banned = [] }: StepContext): Float32Array {
    const { repetition_penalty, presence_penalty, frequency_penalty } = this.options;
    const repeats = repetition_penalty !== 1 && history.seen.size > 0;
    const counts = (presence_penalty !== 0 || frequency_penalty !== 0) && history.counts.size > 0;
    if (this.#bias.length === 0 && !repeats && !counts && mask === undefined && banned.length === 0)
      return logits;

    if (this.#scores.length !== logits.length) this.#scores = new Float32Array(logits.length);
    const scores = this.#scores;
    scores.set(logits);
    for (const [id, bias] of this.#bias) {
      if (id >= scores.length)
        throw new UsageError(
          `logit_bias: expected ids below ${scores.length}, the vocabulary's size, found ${id}`,
        );
      scores[id]! += bias;
    }
    if (repeats) penalizeRepetition(scores, history.seen, repetition_penalty);
    if (counts)
      for (const [id, count] of history.counts) {
        if (id >= scores.length)
          throw new ShapeError(
            `sampling: token ${id} was generated, but there are only ${scores.length} logits`,
          );
        scores[id]! -= presence_penalty + frequency_penalty * count;
      }
    if (mask !== undefined) applyMask(scores, mask);
    for (const id of banned) scores[id] = -Infinity;
    return scores;
  }
}

/** −Infinity for what the mask does not allow. */
function applyMask(scores: Float32Array, mask: Uint32Array): void {
  for (let word = 0; word * 32 < scores.length; word++) {
    const bits = mask[word] ?? 0;
    if (bits === 0xffffffff) continue;
    const end = Math.min(word * 32 + 32, scores.length);
    if (bits === 0) scores.fill(-Infinity, word * 32, end);
    else
      for (let id = word * 32; id < end; id++) if (((bits >>> (id & 31)) & 1) === 0) scores[id] = -Infinity;
  }
}
