import { PairHeap } from "./pair-heap.ts";

/** Symbol ids are below 2^22, so that two of them fit a safe integer. */
const BASE = 2 ** 22;
/** Separates what must not merge: never part of a pair. */
export const BREAK = -1;

interface Pair {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Words that held the pair at some time; may repeat and may be out of date. */
  words: number[];
}

/**
 * Counts of neighbouring symbols over weighted words, kept up to date while pairs are merged. The most frequent pair is
 * found by a heap whose entries may be too high (a count that has fallen since): such an entry is queued again with the
 * true count when it surfaces. Ties go to the pair that was met first.
 */
export class PairCounts {
  readonly #pairs: Pair[] = [];
  readonly #index = new Map<number, number>();
  readonly #heap = new PairHeap(1 << 16);
  /** Pairs whose count has risen since they were last queued. */
  readonly #risen = new Set<number>();

  /** `words[w]` are the symbols of word w, which occurs `weights[w]` times. The arrays of symbols are changed by merging. */
  constructor(
    readonly words: number[][],
    readonly weights: ArrayLike<number>,
  ) {
    for (const [w, word] of words.entries()) this.#count(w, word, 0);
    this.#queueRisen();
  }

  /** The most frequent pair with its count, removed from the queue; undefined when none occurs `least` times. */
  pop(least: number): { left: number; right: number; pair: number } | undefined {
    while (this.#heap.size > 0) {
      const queued = -this.#heap.key;
      if (queued < least) return undefined;
      const pair = this.#heap.pop();
      const { left, right, count } = this.#pairs[pair]!;
      if (queued === count) return { left, right, pair };
      if (queued > count && count >= least) this.#heap.push(-count, pair);
    }
    return undefined;
  }

  /** Replaces a pair by `symbol` wherever it occurs, leftmost first. */
  merge(pair: number, symbol: number): void {
    const entry = this.#pairs[pair]!;
    const { left, right, words } = entry;
    entry.words = [];
    for (const w of words) this.#mergeWord(w, left, right, symbol);
    this.#queueRisen();
  }

  #mergeWord(w: number, left: number, right: number, symbol: number): void {
    const word = this.words[w]!;
    const first = findPair(word, left, right);
    if (first < 0) return;
    // Only pairs from the first place on can change.
    const from = Math.max(0, first - 1);
    this.#uncount(w, word, from);
    let length = first;
    for (let i = first; i < word.length; length++) {
      const merges = word[i] === left && word[i + 1] === right;
      word[length] = merges ? symbol : word[i]!;
      i += merges ? 2 : 1;
    }
    word.length = length;
    this.#count(w, word, from, symbol);
  }

  /** With `symbol` given, only its pairs are new to the word; the others are counted again and cannot have risen. */
  #count(w: number, word: readonly number[], from: number, symbol?: number): void {
    const weight = this.weights[w]!;
    for (let i = from; i + 1 < word.length; i++) {
      const left = word[i]!;
      const right = word[i + 1]!;
      if (left === BREAK || right === BREAK) continue;
      const key = left * BASE + right;
      let pair = this.#index.get(key);
      if (pair === undefined) {
        pair = this.#pairs.length;
        this.#index.set(key, pair);
        this.#pairs.push({ left, right, count: 0, words: [] });
      }
      const entry = this.#pairs[pair]!;
      entry.count += weight;
      if (symbol !== undefined && left !== symbol && right !== symbol) continue;
      if (entry.words.at(-1) !== w) entry.words.push(w);
      this.#risen.add(pair);
    }
  }

  #uncount(w: number, word: readonly number[], from: number): void {
    const weight = this.weights[w]!;
    for (let i = from; i + 1 < word.length; i++) {
      const pair = this.#index.get(word[i]! * BASE + word[i + 1]!);
      if (pair !== undefined) this.#pairs[pair]!.count -= weight;
    }
  }

  #queueRisen(): void {
    for (const pair of this.#risen) {
      const { count } = this.#pairs[pair]!;
      if (count > 0) this.#heap.push(-count, pair);
    }
    this.#risen.clear();
  }
}

function findPair(word: readonly number[], left: number, right: number): number {
  for (let i = 0; i + 1 < word.length; i++) if (word[i] === left && word[i + 1] === right) return i;
  return -1;
}
