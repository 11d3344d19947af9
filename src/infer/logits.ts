import { RuntimeFailure } from "../core/errors.ts";

/** The index of the largest value, the first of equal ones; −1 where all are −Infinity or NaN. */
export function argmax(values: Float32Array): number {
  let best = -1;
  let max = -Infinity;
  for (let i = 0; i < values.length; i++)
    if (values[i]! > max) {
      max = values[i]!;
      best = i;
    }
  return best;
}

/** Steps of the table for one nat, and where it ends: what is less likely than e^−44 of the best has no weight. */
const STEPS = 64;
const DEPTH = 44;
const EXP = Float64Array.from({ length: DEPTH * STEPS }, (_, i) => Math.exp(-i / STEPS));

/**
 * exp(−depth) for depth >= 0, to eleven digits: a table and four terms of the series. The exponential function is what
 * choosing a token costs, and the built-in one takes five times as long. 0 beyond a depth of 44.
 */
export function decay(depth: number): number {
  const steps = depth * STEPS;
  if (!(steps < EXP.length)) return 0;
  const i = steps | 0;
  const r = (steps - i) / STEPS;
  return EXP[i]! * (1 - r * (1 - r * (1 / 2 - r * (1 / 6 - r / 24))));
}

/**
 * log Σ exp(logits), in double precision: a token's log probability is its logit less this. Throws a RuntimeFailure
 * where the logits are no distribution: NaN, +Infinity, or nothing but −Infinity.
 */
export function logSumExp(logits: Float32Array): number {
  const max = logits[argmax(logits)] ?? -Infinity;
  let sum = 0;
  let check = 0; // NaN as soon as one is
  for (let i = 0; i < logits.length; i++) {
    const depth = max - logits[i]!;
    check += depth === Infinity ? 0 : depth;
    sum += decay(depth);
  }
  const result = max + Math.log(sum);
  if (!Number.isFinite(check) || !Number.isFinite(result))
    throw new RuntimeFailure(
      `logits: expected finite numbers, found ${logits.find((x) => Number.isNaN(x)) ?? max}; the model's weights or its precision do not give a distribution`,
    );
  return result;
}

/** The best `n` of a stream of candidates, best first; of equal ones those that came first. */
export class BestOf {
  readonly indices: number[] = [];
  readonly values: number[] = [];
  /** What a candidate has to exceed. */
  floor = -Infinity;

  constructor(readonly n: number) {}

  /** Candidates at or below `floor` change nothing once `n` are held: callers may leave them out. */
  offer(index: number, value: number): void {
    if (this.values.length === this.n && !(value > this.floor)) return;
    let at = this.values.length;
    while (at > 0 && value > this.values[at - 1]!) at--;
    this.values.splice(at, 0, value);
    this.indices.splice(at, 0, index);
    if (this.values.length > this.n) {
      this.values.pop();
      this.indices.pop();
    }
    if (this.values.length === this.n) this.floor = this.values[this.n - 1]!;
  }
}

/** Indices of the `n` largest values, largest first, equal ones by index. For small `n`. */
export function topIndices(values: Float32Array, n: number): readonly number[] {
  const best = new BestOf(Math.min(n, values.length));
  for (let i = 0; i < values.length; i++)
    if (values[i]! > best.floor || best.values.length < best.n) best.offer(i, values[i]!);
  return best.indices;
}

/**
 * transformers' RepetitionPenaltyLogitsProcessor: scores of `seen` ids become less likely, in place.
 */
export function penalizeRepetition(scores: Float32Array, seen: Iterable<number>, penalty: number): void {
  for (const id of seen) {
    const x = scores[id];
    // Ids of the prompt may lie beyond the head: vocabularies grow by tokens that are never generated.
    if (x !== undefined) scores[id] = x < 0 ? x * penalty : x / penalty;
  }
}
