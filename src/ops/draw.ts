import { type HostTensor, hostTensor, sizeOf } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";

/** Random shapes and values for the cases of ops. Small and awkward on purpose: 1s, primes, unequal sizes. */

export const size = (rng: Rng): number => [1, 2, 3, 4, 5, 7][rng.int(6)]!;

export function shape(rng: Rng, minRank = 0, maxRank = 4): number[] {
  return Array.from({ length: minRank + rng.int(maxRank - minRank + 1) }, () => size(rng));
}

/** A shape that broadcasts against `full`: some sizes become 1, some leading axes vanish. */
export function broadcastable(rng: Rng, full: readonly number[]): number[] {
  return full.map((d) => (rng.int(3) === 0 ? 1 : d)).slice(rng.int(2) && full.length > 0 ? 1 : 0);
}

export const axis = (rng: Rng, rank: number): number => rng.int(2 * rank) - rank;

/** A subset of the axes, possibly empty, in ascending order. */
export const axes = (rng: Rng, rank: number): number[] =>
  Array.from({ length: rank }, (_, i) => i).filter(() => rng.int(2) === 1);

export const permutation = (rng: Rng, rank: number): number[] =>
  rng.shuffle(Array.from({ length: rank }, (_, i) => i));

/** Integers in [0, n), as i64. */
export function indices(rng: Rng, dims: readonly number[], n: number): HostTensor<"i64"> {
  return hostTensor(
    "i64",
    dims,
    BigInt64Array.from({ length: sizeOf(dims) }, () => BigInt(rng.int(n))),
  );
}

export function booleans(rng: Rng, dims: readonly number[]): HostTensor<"bool"> {
  return hostTensor(
    "bool",
    dims,
    Uint8Array.from({ length: sizeOf(dims) }, () => rng.int(2)),
  );
}
