import type { Rng } from "../core/rng.ts";
import { argmax, decay } from "./logits.ts";
import type { SamplingOptions } from "./sampling-options.ts";

/** Bins of the histogram for one nat, and where it ends: what is less likely than e^−40 of the best shares one bin. */
const BINS_PER_NAT = 16;
const DEPTH = 40;
const BINS = DEPTH * BINS_PER_NAT + 1;
/** Tokens that weigh less than this share of the best are looked at only where the others do not decide. */
const LIKELY = 1e-4;
/** More likely tokens than this are too many to sort. */
const MOST_LIKELY = 1024;
/** Lower temperatures are this one, which already tells neighbouring numbers apart. */
const LOWEST = 1e-30;

/** The last token of a prefix of the order: higher scores first, equal ones by id. */
interface Cut {
  readonly score: number;
  readonly id: number;
  /** The weight of the prefix, where the best token has weight 1. */
  readonly mass: number;
}

/**
 * Draws from softmax(scores / temperature) under top_k, top_p and min_p. Each of the three keeps a prefix of the tokens
 * ordered by score. It nearly always ends among the few likely ones, which are sorted; otherwise nothing has to be but the
 * bin of a histogram in which a prefix ends.
 */
export class Drawer {
  readonly #counts = new Uint32Array(BINS);
  readonly #masses = new Float64Array(BINS);
  #weights = new Float64Array(0);
  #bins = new Uint16Array(0);

  constructor(
    readonly options: Pick<SamplingOptions, "temperature" | "top_k" | "top_p" | "min_p">,
    readonly rng: Rng,
  ) {}

  /** The id of a drawn token; −1 where all scores are −Infinity. The temperature must not be 0. */
  draw(scores: Float32Array): number {
    const best = argmax(scores);
    if (best < 0) return -1;
    const max = scores[best]!;
    const { top_p, min_p } = this.options;
    const isCut = this.#most(scores) < Infinity || top_p < 1 || min_p > 0;
    let mass = this.#weigh(scores, max);
    const weights = this.#weights;
    const kept = isCut ? this.#likely(scores, max, mass) : undefined;
    if (kept) return this.#pick(kept, weights);
    if (isCut) mass = this.#keepPrefix(scores, max);
    let left = uniform53(this.rng) * mass;
    for (let id = 0; id < weights.length; id++) {
      left -= weights[id]!;
      if (left < 0) return id;
    }
    return best; // rounding alone leads here
  }

  /** Fills the weights; their sum. */
  #weigh(scores: Float32Array, max: number): number {
    if (this.#weights.length !== scores.length) this.#weights = new Float64Array(scores.length);
    const weights = this.#weights;
    const inverse = this.#inverse;
    let mass = 0;
    for (let id = 0; id < weights.length; id++) {
      const weight = decay((max - scores[id]!) * inverse);
      weights[id] = weight;
      mass += weight;
    }
    return mass;
  }

  get #inverse(): number {
    return 1 / Math.max(this.options.temperature, LOWEST);
  }

  /** How many tokens top_k keeps; Infinity where that is all. */
  #most(scores: Float32Array): number {
    const { top_k } = this.options;
    return top_k > 0 && top_k < scores.length ? top_k : Infinity;
  }

  /** The least score that min_p keeps. */
  #least(max: number): number {
    const { temperature, min_p } = this.options;
    return min_p > 0 ? max + temperature * Math.log(min_p) : -Infinity;
  }

  /** The tokens that all filters keep, where the likely ones decide that. */
  #likely(scores: Float32Array, max: number, total: number): readonly number[] | undefined {
    const { top_p, min_p } = this.options;
    const weights = this.#weights;
    const likely: number[] = [];
    for (let id = 0; id < weights.length; id++)
      if (weights[id]! >= LIKELY && likely.push(id) > MOST_LIKELY) return undefined;
    likely.sort((a, b) => scores[b]! - scores[a]! || a - b);
    let end = this.#most(scores);
    const isTopK = end < Infinity;
    if (isTopK && end > likely.length) return undefined;
    if (top_p < 1) {
      const among = likely.slice(0, end);
      const wanted = top_p * (isTopK ? among.reduce((sum, id) => sum + weights[id]!, 0) : total);
      let [mass, count] = [weights[among[0]!]!, 1];
      while (mass < wanted && count < among.length) mass += weights[among[count++]!]!;
      if (mass < wanted && !isTopK) return undefined;
      end = count;
    }
    if (min_p > 0) {
      const least = this.#least(max);
      const under = likely.findIndex((id) => scores[id]! < least);
      if (under >= 0) end = Math.min(end, under);
    }
    return end <= likely.length ? likely.slice(0, end) : undefined;
  }

  /** One of the tokens by its weight. */
  #pick(ids: readonly number[], weights: Float64Array): number {
    const mass = ids.reduce((sum, id) => sum + weights[id]!, 0);
    let left = uniform53(this.rng) * mass;
    for (const id of ids) {
      left -= weights[id]!;
      if (left < 0) return id;
    }
    return ids[0]!; // rounding alone leads here
  }

  /** Takes the weight from tokens that a filter leaves out; the sum of the others. */
  #keepPrefix(scores: Float32Array, max: number): number {
    this.#count(scores, max);
    const { score, id: lastId } = this.#cut(scores, max);
    const weights = this.#weights;
    let mass = 0;
    for (let id = 0; id < scores.length; id++) {
      const x = scores[id]!;
      if (x > score || (x === score && id <= lastId)) mass += weights[id]!;
      else weights[id] = 0;
    }
    return mass;
  }

  /** Fills the histogram of the weights. */
  #count(scores: Float32Array, max: number): void {
    if (this.#bins.length !== scores.length) this.#bins = new Uint16Array(scores.length);
    const [weights, bins, counts, masses] = [this.#weights, this.#bins, this.#counts, this.#masses];
    counts.fill(0);
    masses.fill(0);
    const inverse = this.#inverse;
    for (let id = 0; id < scores.length; id++) {
      const depth = (max - scores[id]!) * inverse;
      const bin = depth < DEPTH ? (depth * BINS_PER_NAT) | 0 : BINS - 1;
      bins[id] = bin;
      counts[bin]! += 1;
      masses[bin]! += weights[id]!;
    }
  }

  /** The last token that all filters keep. */
  #cut(scores: Float32Array, max: number): Pick<Cut, "score" | "id"> {
    const { top_p } = this.options;
    const most = this.#most(scores);
    let cut: Cut = {
      score: this.#least(max),
      id: scores.length,
      mass: this.#masses.reduce((a, b) => a + b, 0),
    };
    let mass = cut.mass;
    const tighten = (other: Cut) => {
      mass = other.mass;
      if (other.score > cut.score || (other.score === cut.score && other.id < cut.id)) cut = other;
    };
    if (most < Infinity) tighten(this.#prefix(scores, (count) => count >= most));
    if (top_p < 1) {
      const wanted = top_p * mass;
      tighten(this.#prefix(scores, (_, mass) => mass >= wanted));
    }
    return cut;
  }

  /** The shortest prefix of at least one token for which `enough` holds. */
  #prefix(scores: Float32Array, enough: (count: number, mass: number) => boolean): Cut {
    let [bin, count, mass] = [0, 0, 0];
    while (bin < BINS - 1 && !enough(count + this.#counts[bin]!, mass + this.#masses[bin]!)) {
      count += this.#counts[bin]!;
      mass += this.#masses[bin]!;
      bin++;
    }
    const members: number[] = [];
    for (let id = 0; id < scores.length; id++) if (this.#bins[id] === bin) members.push(id);
    members.sort((a, b) => scores[b]! - scores[a]! || a - b);
    let last = members[0]!;
    for (const id of members) {
      last = id;
      mass += this.#weights[id]!;
      if (enough(++count, mass)) break;
    }
    return { score: scores[last]!, id: last, mass };
  }
}

/** Uniform in [0, 1), 53 bits: the rarest of many tokens must be reachable. */
const uniform53 = (rng: Rng): number => (rng.uint32() * 2 ** 21 + (rng.uint32() >>> 11)) * 2 ** -53;
