import type { Decoder } from "./decoder.ts";
import type { KvCache } from "./kv-cache.ts";

/** What stands at a position: a token's id, or which part of which picture. */
export type PositionKey = number | string;

interface Held {
  readonly cache: KvCache;
  /** What the cache's positions hold. */
  keys: PositionKey[];
  isBusy: boolean;
}

/** A cache on loan: its first `length` positions are those of the prompt. */
export interface BorrowedCache {
  readonly cache: KvCache;
  readonly length: number;
  /** Gives it back; `keys` are all positions that it holds now. */
  giveBack(keys: readonly PositionKey[]): void;
}

/**
 * Caches of earlier conversations: a prompt that begins as one of them did is not computed again. The one with the longest
 * common beginning is lent, or the one that was not used for longest when all share nothing.
 */
export class PrefixCaches implements Disposable {
  /** Least recently used first. */
  readonly #held: Held[] = [];

  constructor(
    readonly decoder: Decoder,
    /** Positions of each. */
    readonly capacity: number,
    /** How many conversations are kept. */
    readonly count: number,
  ) {}

  /** A cache for a prompt; at least its last position is left to compute, because its logits are wanted. */
  borrow(prompt: readonly PositionKey[]): BorrowedCache {
    const free = this.#held.filter((h) => !h.isBusy);
    const lengths = free.map(({ cache, keys }) =>
      Math.min(commonLength(keys, prompt), prompt.length - 1, cache.turnedFor(prompt.length)),
    );
    const longest = Math.max(0, ...lengths);
    const known = longest > 0 ? free[lengths.indexOf(longest)] : undefined;
    const held = known ?? (this.#held.length < this.count ? this.#add() : (free[0] ?? this.#add()));
    const length = known ? longest : 0;
    held.isBusy = true;
    held.cache.truncate(length);
    this.#held.splice(this.#held.indexOf(held), 1);
    this.#held.push(held);
    return {
      cache: held.cache,
      length,
      giveBack: (keys) => {
        held.keys = keys.slice(0, held.cache.length);
        held.isBusy = false;
        this.#shrink();
      },
    };
  }

  #add(): Held {
    const held: Held = { cache: this.decoder.cache(1, this.capacity), keys: [], isBusy: false };
    this.#held.push(held);
    return held;
  }

  /** Lets go of what was made beyond the number because all were busy. */
  #shrink(): void {
    while (this.#held.length > this.count) {
      const index = this.#held.findIndex((h) => !h.isBusy);
      if (index < 0) return;
      this.#held.splice(index, 1)[0]!.cache[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    for (const { cache } of this.#held.splice(0)) cache[Symbol.dispose]();
  }
}

function commonLength(a: readonly PositionKey[], b: readonly PositionKey[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}
