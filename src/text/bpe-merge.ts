import { PairHeap } from "./pair-heap.ts";

/** What merging needs to know of a vocabulary. */
export interface MergeTable {
  /** What joining the symbols [start, middle) and [middle, end) of `text` gives: an id, -1 when they do not join. */
  lookup(text: string, start: number, middle: number, end: number): number;
  /** id -> priority; the lowest merges first. */
  readonly rank: Uint32Array;
  /** Pieces that serve merging but must not be output. */
  readonly unused: ReadonlySet<number>;
}

/** A text cut into symbols: `starts` holds `count` offsets and the text's length. */
export interface Symbols {
  readonly starts: Int32Array;
  readonly count: number;
  /** 1 for symbols that never merge. */
  readonly frozen: Uint8Array;
}

/**
 * Byte-pair merging of one text: a linked list of symbols, and a heap of the pairs that make a piece. A symbol is known
 * by its first index, so of all heap entries for one index only the newest pair can be valid: entries whose priority is
 * no longer that of the index's pair are stale and are dropped when they surface.
 */
export class BpeMerge {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The symbol's id once merged, -1 before. */
  readonly #id: Int32Array;
  /** The piece that a symbol makes with its right neighbour, -1 for none. */
  readonly #candidate: Int32Array;
  readonly #heap: PairHeap;
  /** Unused piece -> length of its left part in the latest pair that made it. */
  readonly splits = new Map<string, number>();

  constructor(
    readonly text: string,
    readonly symbols: Symbols,
    readonly table: MergeTable,
  ) {
    const { count } = symbols;
    this.#next = new Int32Array(count);
    this.#previous = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      this.#next[i] = i + 1;
      this.#previous[i] = i - 1;
    }
    this.#id = new Int32Array(count).fill(-1);
    this.#candidate = new Int32Array(count).fill(-1);
    this.#heap = new PairHeap(count);
  }

  /** Merges until no pair makes a piece, and reports the symbols that remain, in order; `id` -1 was never merged. */
  run(emit: (piece: string, id: number) => void): void {
    for (let i = 0; i + 1 < this.symbols.count; i++) this.#propose(i);
    while (this.#heap.size > 0) {
      const rank = this.#heap.key;
      const left = this.#heap.pop();
      const id = this.#candidate[left]!;
      if (id >= 0 && this.table.rank[id] === rank) this.#merge(left, id);
    }
    for (let i = 0; i < this.symbols.count; i = this.#next[i]!)
      emit(this.text.slice(this.symbols.starts[i]!, this.#end(i)), this.#id[i]!);
  }

  #end(symbol: number): number {
    return this.symbols.starts[this.#next[symbol]!]!;
  }

  #merge(left: number, id: number): void {
    const right = this.#next[left]!;
    const after = this.#next[right]!;
    this.#id[left] = id;
    this.#next[left] = after;
    if (after < this.symbols.count) this.#previous[after] = left;
    this.#candidate[right] = -1;
    this.#propose(left);
    const before = this.#previous[left]!;
    if (before >= 0) this.#propose(before);
  }

  /** Looks up the pair that begins at `left` and queues it when it makes a piece. */
  #propose(left: number): void {
    const { starts, count, frozen } = this.symbols;
    const right = this.#next[left]!;
    this.#candidate[left] = -1;
    if (right >= count || frozen[left] || frozen[right]) return;
    const id = this.table.lookup(this.text, starts[left]!, starts[right]!, this.#end(right));
    if (id < 0) return;
    this.#candidate[left] = id;
    this.#heap.push(this.table.rank[id]!, left);
    if (this.table.unused.has(id))
      this.splits.set(this.text.slice(starts[left]!, this.#end(right)), starts[right]! - starts[left]!);
  }
}
