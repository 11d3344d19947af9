import type { Rng } from "../core/rng.ts";

/** What the order of an epoch depends on, one entry per item. */
export interface EpochItems {
  /** Relative sampling weights, >= 0. */
  readonly weights: Float64Array;
  /** Items of equal number are no negatives of each other. */
  readonly groups: Int32Array;
}

/** Batches of one epoch: the weights' sum, rounded down to whole batches. The remainder differs every epoch. */
export const stepsPerEpoch = (weights: Float64Array, batchSize: number): number =>
  Math.floor(draws(weights) / batchSize);

/** Pictures drawn in one epoch; the slack keeps weights such as ten times 0.1 from losing one to rounding. */
const draws = (weights: Float64Array): number => Math.floor(total(weights) + 1e-9);

const total = (weights: Float64Array): number => weights.reduce((sum, w) => sum + w, 0);

/**
 * The items of all batches of one epoch, batch after batch: Int32Array of stepsPerEpoch × batchSize.
 *
 * An item of weight w comes floor(w) or ceil(w) times (systematic sampling), so weights of 1 make a permutation.
 * Two items of one group come into one batch only where nothing else is left: an item that meets its group waits for
 * a later batch.
 */
export function planEpoch({ weights, groups }: EpochItems, batchSize: number, rng: Rng): Int32Array {
  const order = rng.fork("order").shuffle(sample(weights, rng.fork("weights")));
  const steps = Math.floor(order.length / batchSize);
  const plan = new Int32Array(steps * batchSize);
  let waiting: number[] = [];
  let next = 0;
  for (let at = 0; at < plan.length; at += batchSize) {
    const end = at + batchSize;
    const seen = new Set<number>();
    let filled = at;
    const take = (item: number): boolean => {
      if (filled === end || seen.has(groups[item]!)) return false;
      seen.add(groups[item]!);
      plan[filled++] = item;
      return true;
    };
    waiting = waiting.filter((item) => !take(item));
    for (; filled < end && next < order.length; next++) if (!take(order[next]!)) waiting.push(order[next]!);
    // Only items of groups that this batch has are left: better a repeated group than a short batch.
    while (filled < end) plan[filled++] = waiting.shift()!;
  }
  return plan;
}

/** Item numbers in ascending order, each as often as its weight says; the count does not depend on the draw. */
function sample(weights: Float64Array, rng: Rng): number[] {
  const count = draws(weights);
  const scale = count / total(weights);
  const offset = rng.uniform() + 2 ** -25;
  const picked: number[] = [];
  let cumulative = 0;
  for (let i = 0; i < weights.length; i++) {
    cumulative += weights[i]!;
    while (picked.length < Math.floor(cumulative * scale + offset)) picked.push(i);
  }
  return picked;
}
