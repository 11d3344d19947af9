import { Gate } from "../runtime/gate.ts";
import type { Decoder } from "./decoder.ts";
import type { KvCache } from "./kv-cache.ts";

/** What stands at a position: a token's id, or which part of which picture. */
export type PositionKey = number | string;

/** A row of a cache and whose it is. */
export interface CacheRow {
  /** Where in the cache it is now: rows change places between runs. */
  readonly index: number;
  readonly isBusy: boolean;
}

export interface BorrowedRow {
  readonly row: CacheRow;
  /** How many of the prompt's positions it holds. */
  readonly length: number;
}

class Row implements CacheRow {
  isBusy = false;
  /** What its positions hold, as far as it is known: a busy row's answer is not. */
  keys: readonly PositionKey[] = [];

  constructor(public index: number) {}
}

/**
 * The rows of one cache, each with the conversation that it held last: a prompt that begins as one of them does is not
 * computed again. Rows that work together are brought side by side, because a run takes rows in a row.
 */
export class CacheRows implements AsyncDisposable {
  readonly cache: KvCache;
  /** By their place in the cache. */
  readonly #rows: Row[];
  /** Least recently used first. */
  readonly #order: Row[];
  /** Rows are moved, and free ones looked for, one after the other. */
  readonly #moving = new Gate(1);

  constructor(decoder: Decoder, count: number, capacity: number) {
    this.cache = decoder.cache(count, capacity);
    this.#rows = Array.from({ length: count }, (_, i) => new Row(i));
    this.#order = [...this.#rows];
  }

  /**
   * A row for a prompt; one must be free. At least the last position is left to compute, because its logits are wanted.
   * What another row knows of the prompt is copied, if that one is busy or holds a conversation of which the prompt has
   * less than half.
   */
  borrow(prompt: readonly PositionKey[]): Promise<BorrowedRow> {
    return this.#moving.run(() => this.#borrow(prompt));
  }

  async #borrow(prompt: readonly PositionKey[]): Promise<BorrowedRow> {
    const oldest = this.#order.find((row) => !row.isBusy)!;
    let [known, length] = [oldest, 0];
    for (const row of this.#rows) {
      const { index, keys } = row;
      const common = Math.min(commonLength(keys, prompt), prompt.length - 1);
      const usable = Math.min(common, this.cache.turnedFor(index, prompt.length));
      if (usable > length) [known, length] = [row, usable];
    }
    const isSpared = known.isBusy || 2 * length < known.keys.length;
    const row = isSpared ? oldest : known;
    row.isBusy = true;
    row.keys = prompt;
    if (row !== known) await this.cache.copyRow(known.index, row.index, length);
    this.cache.truncate(length, row.index);
    this.#order.splice(this.#order.indexOf(row), 1);
    this.#order.push(row);
    return { row, length };
  }

  /** Takes a row back; `keys` are all positions that it holds now. */
  giveBack(row: CacheRow, keys: readonly PositionKey[]): void {
    const own = this.#rows[row.index]!;
    own.keys = keys.slice(0, this.cache.lengths[row.index]!);
    own.isBusy = false;
  }

  /** Brings rows to the beginning of the cache, group after group, in any order within each. None may be run meanwhile. */
  gather(groups: readonly (readonly CacheRow[])[]): Promise<void> {
    return this.#moving.run(async () => {
      let start = 0;
      for (const group of groups) {
        const end = start + group.length;
        const others = this.#rows.slice(start, end).filter((row) => !group.includes(row));
        for (const row of group)
          if (row.index < start || row.index >= end) await this.#swap(row.index, others.pop()!.index);
        start = end;
      }
    });
  }

  async #swap(a: number, b: number): Promise<void> {
    // At once: whose row is asked for meanwhile is told of its own.
    const swapped = this.cache.swapRows(a, b);
    const [one, other] = [this.#rows[a]!, this.#rows[b]!];
    [this.#rows[a], this.#rows[b]] = [other, one];
    [one.index, other.index] = [b, a];
    await swapped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#moving.run(async () => this.cache[Symbol.dispose]());
  }
}

function commonLength(a: readonly PositionKey[], b: readonly PositionKey[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}
