import { ShapeError } from "../core/errors.ts";
import { dotRows, type EmbeddingMatrix } from "./embedding-matrix.ts";

/** The k of recall@k in the published tables. */
export const RECALL_KS = [1, 5, 10] as const;
type RecallK = (typeof RECALL_KS)[number];

/** Share of queries with at least one positive among the first k candidates, in [0, 1]; NaN without queries. */
export type RecallAt = Readonly<Record<RecallK, number>>;

/**
 * Rank of the best positive of every query, 0 for the first; NO_POSITIVE for a query without positives, which is
 * left out of the means.
 */
export interface RetrievalRanks {
  readonly texts: Int32Array;
  readonly images: Int32Array;
}

const NO_POSITIVE = -1;
/** Texts scored between two steps of the generator: some 50 ms for 5,000 pictures of width 768. */
const BLOCK = 16;

/** The best positive of each query on one side: its score and its index among the candidates. */
interface BestPositives {
  readonly score: Float64Array;
  readonly index: Int32Array;
}

const noPositives = (n: number): BestPositives => ({
  score: new Float64Array(n).fill(Number.NEGATIVE_INFINITY),
  index: new Int32Array(n).fill(NO_POSITIVE),
});

function offer(best: BestPositives, query: number, candidate: number, score: number): void {
  const current = best.index[query]!;
  const better = score > best.score[query]! || (score === best.score[query]! && candidate < current);
  if (current !== NO_POSITIVE && !better) return;
  best.score[query] = score;
  best.index[query] = candidate;
}

/**
 * Ranks both ways in one pass over the score matrix, which never exists in memory: the best positive of each query
 * is scored first, then every other score only counts as "before it" or not. Candidates with equal scores are
 * ordered by their index.
 *
 * @param images [N, D] and @param texts [T, D], L2-normalised rows.
 * @param positives for each text the indices of the pictures that count as a hit; may be empty.
 * @yields the number of texts scored so far, so that a caller can report progress, cancel and breathe.
 * Throws ShapeError when the sizes do not fit. Source: clip_benchmark, zeroshot_retrieval (there: torch.topk, whose
 * order of ties is unspecified).
 */
export function* retrievalRanks(
  images: EmbeddingMatrix,
  texts: EmbeddingMatrix,
  positives: readonly (readonly number[])[],
): Generator<number, RetrievalRanks> {
  if (images.dimension !== texts.dimension || positives.length !== texts.rows)
    throw new ShapeError(
      `retrievalRanks: images [${images.rows}, ${images.dimension}], texts [${texts.rows}, ${texts.dimension}] and ` +
        `${positives.length} lists of positives: widths and numbers of texts must agree`,
    );
  const ofTexts = noPositives(texts.rows);
  const ofImages = noPositives(images.rows);
  for (let t = 0; t < texts.rows; t++)
    for (const i of positives[t]!) {
      if (!(i >= 0 && i < images.rows))
        throw new ShapeError(`retrievalRanks: text ${t} names picture ${i} of ${images.rows}`);
      const score = dotRows(texts, t, images, i);
      offer(ofTexts, t, i, score);
      offer(ofImages, i, t, score);
    }

  const ranks: RetrievalRanks = { texts: new Int32Array(texts.rows), images: new Int32Array(images.rows) };
  const scores = new Float64Array(BLOCK * images.rows);
  for (let start = 0; start < texts.rows; start += BLOCK) {
    const count = Math.min(BLOCK, texts.rows - start);
    scoreBlock(texts, start, count, images, scores);
    countBetter(scores, start, count, ofTexts, ofImages, ranks);
    yield start + count;
  }
  for (const [rank, best] of [
    [ranks.texts, ofTexts],
    [ranks.images, ofImages],
  ] as const)
    best.index.forEach((index, q) => {
      if (index === NO_POSITIVE) rank[q] = NO_POSITIVE;
    });
  return ranks;
}

/** Scores [count, N] of texts from `start`. Four texts at a time; each sum runs in the order of `dotRows`. */
function scoreBlock(
  texts: EmbeddingMatrix,
  start: number,
  count: number,
  images: EmbeddingMatrix,
  scores: Float64Array,
): void {
  const D = images.dimension;
  const N = images.rows;
  const x = images.data;
  const y = texts.data;
  let r = 0;
  for (; r + 4 <= count; r += 4) {
    const q = (start + r) * D;
    for (let i = 0; i < N; i++) {
      const p = i * D;
      let a = 0;
      let b = 0;
      let c = 0;
      let e = 0;
      for (let d = 0; d < D; d++) {
        const v = x[p + d]!;
        a += y[q + d]! * v;
        b += y[q + D + d]! * v;
        c += y[q + 2 * D + d]! * v;
        e += y[q + 3 * D + d]! * v;
      }
      scores[r * N + i] = a;
      scores[(r + 1) * N + i] = b;
      scores[(r + 2) * N + i] = c;
      scores[(r + 3) * N + i] = e;
    }
  }
  for (; r < count; r++) for (let i = 0; i < N; i++) scores[r * N + i] = dotRows(texts, start + r, images, i);
}

function countBetter(
  scores: Float64Array,
  start: number,
  count: number,
  ofTexts: BestPositives,
  ofImages: BestPositives,
  ranks: RetrievalRanks,
): void {
  const N = ranks.images.length;
  for (let r = 0; r < count; r++) {
    const t = start + r;
    const textBest = ofTexts.score[t]!;
    const textIndex = ofTexts.index[t]!;
    let before = 0;
    for (let i = 0; i < N; i++) {
      const s = scores[r * N + i]!;
      if (s > textBest || (s === textBest && i < textIndex)) before++;
      const imageBest = ofImages.score[i]!;
      if (s > imageBest || (s === imageBest && t < ofImages.index[i]!)) ranks.images[i]!++;
    }
    ranks.texts[t] = before;
  }
}

/** recall@1, @5 and @10 from ranks, over the queries that have a positive. */
export function recallAt(ranks: Int32Array): RecallAt & { readonly queries: number } {
  let queries = 0;
  const hits = { 1: 0, 5: 0, 10: 0 };
  for (const rank of ranks) {
    if (rank === NO_POSITIVE) continue;
    queries++;
    for (const k of RECALL_KS) if (rank < k) hits[k]++;
  }
  return { 1: hits[1] / queries, 5: hits[5] / queries, 10: hits[10] / queries, queries };
}

/** What the published classification tables report; shares in [0, 1]. */
export interface ClassificationScores {
  readonly acc1: number;
  /** NaN with fewer than five classes. */
  readonly acc5: number;
  /** Mean over the classes that occur of the share of their pictures that are right. */
  readonly mean_per_class_recall: number;
}

/** Counts classification results picture by picture; nothing is kept but counts. */
export class ClassificationCounter {
  readonly #right: Int32Array;
  readonly #seen: Int32Array;
  #rightIn5 = 0;
  #total = 0;

  constructor(readonly classes: number) {
    this.#right = new Int32Array(classes);
    this.#seen = new Int32Array(classes);
  }

  /** `scores` [classes] of one picture and its class. Equal scores are ordered by class index. */
  add(scores: Float32Array, label: number): void {
    if (scores.length !== this.classes || !(label >= 0 && label < this.classes))
      throw new ShapeError(
        `ClassificationCounter: ${scores.length} scores and class ${label}, expected ${this.classes} scores and a class below that`,
      );
    const own = scores[label]!;
    let before = 0;
    scores.forEach((s, c) => {
      if (s > own || (s === own && c < label)) before++;
    });
    // Against NaN every comparison is false: without this a model that overflows would be always right.
    if (Number.isNaN(own)) before = this.classes;
    this.#seen[label]!++;
    this.#total++;
    if (before === 0) this.#right[label]!++;
    if (before < 5) this.#rightIn5++;
  }

  result(): ClassificationScores {
    const total = this.#total;
    let right = 0;
    let recalls = 0;
    let present = 0;
    this.#seen.forEach((seen, c) => {
      if (seen === 0) return;
      present++;
      right += this.#right[c]!;
      recalls += this.#right[c]! / seen;
    });
    return {
      acc1: right / total,
      acc5: this.classes < 5 ? Number.NaN : this.#rightIn5 / total,
      mean_per_class_recall: recalls / present,
    };
  }
}
