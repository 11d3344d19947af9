import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { Slices } from "../core/next-task.ts";
import type { LanguageModelShape } from "../nn/decoder.ts";
import { rotaryStretch, rotaryTable } from "../nn/rope.ts";
import { cachedWidth } from "../ops/index.ts";
import type { Runtime, Session, Value } from "../runtime/runtime.ts";
import type { BoundStep } from "./bound-step.ts";
import { cacheNames } from "./decoder-graph.ts";

/** What a row of a cache holds. */
interface Row {
  /** Positions held. */
  length: number;
  /** By which angles each was turned, as {@link rotaryStretch} numbers them. */
  stretches: number[];
}

/** Bytes that a position of one sequence takes in a cache: keys and values of every layer, f32. */
export function positionBytes({ num_hidden_layers, num_key_value_heads, rope }: LanguageModelShape): number {
  return 2 * 4 * num_hidden_layers * num_key_value_heads * cachedWidth(rope.head_dim);
}

/**
 * Keys and values of the positions that a decoder has seen, for `rows` sequences with room for `capacity` positions
 * each, in the runtime's memory: {@link positionBytes} a position and row. Dispose of it after the runs.
 */
export class KvCache implements Disposable {
  /** What a decoder has bound for its next step of one position; disposed of with the cache. */
  next: BoundStep | undefined;
  readonly #rows: readonly Row[];
  readonly #angles: Angles;

  private constructor(
    readonly shape: LanguageModelShape,
    readonly capacity: number,
    /** By the graph's input name: [rows, G, capacity, d]. */
    readonly values: ReadonlyMap<string, Value>,
    rows: readonly Row[],
    angles: Angles,
    /** The cache that this one is some rows of. */
    readonly whole?: KvCache,
  ) {
    this.#rows = rows;
    this.#angles = angles;
  }

  static create(
    runtime: Runtime,
    session: Session,
    shape: LanguageModelShape,
    rows: number,
    capacity: number,
  ): KvCache {
    const { num_hidden_layers, num_key_value_heads, rope } = shape;
    const size = [rows, num_key_value_heads, capacity, cachedWidth(rope.head_dim)];
    const names = Array.from({ length: num_hidden_layers }, (_, i) => cacheNames(i)).flat();
    const values = new Map(names.map((name) => [name, session.empty("f32", size)]));
    const held = Array.from({ length: rows }, (): Row => ({ length: 0, stretches: [] }));
    return new KvCache(shape, capacity, values, held, new Angles(runtime, shape, capacity));
  }

  /** Some rows in a row, over the same memory: what is done to them is done to this cache. Dispose of it before this one. */
  part(start: number, count: number): KvCache {
    const values = new Map([...this.values].map(([name, value]) => [name, value.rows(start, count)]));
    const rows = this.#rows.slice(start, start + count);
    return new KvCache(this.shape, this.capacity, values, rows, this.#angles, this.whole ?? this);
  }

  get rows(): number {
    return this.#rows.length;
  }

  /** Positions held, by row. */
  get lengths(): readonly number[] {
    return this.#rows.map((row) => row.length);
  }

  /** Longest of the rows. */
  get length(): number {
    return Math.max(...this.lengths);
  }

  /** Forgets what comes after the first `length` positions of a row, or of each. */
  truncate(length: number, row?: number): void {
    for (const held of row === undefined ? this.#rows : [this.#rows[row]!]) {
      held.length = Math.min(held.length, length);
      held.stretches.length = held.length;
    }
  }

  /** Notes that `more` positions were added to each row, turned as in a sequence of `total`. */
  extend(more: number, total: number): void {
    const stretch = rotaryStretch(this.shape.rope, total);
    for (const row of this.#rows) {
      row.length += more;
      while (row.stretches.length < row.length) row.stretches.push(stretch);
    }
  }

  /** Notes that row i is row parents[i] of another cache now. */
  copied(from: KvCache, parents: readonly number[]): void {
    for (const [i, parent] of parents.entries()) this.#take(i, from.#rows[parent]!);
  }

  #take(row: number, { length, stretches }: Row): void {
    Object.assign(this.#rows[row]!, { length, stretches: stretches.slice(0, length) });
  }

  /** Makes row `to` hold the first `length` positions of row `from`, which may be extended meanwhile. */
  async copyRow(from: number, to: number, length: number): Promise<void> {
    await this.#eachHead(from, to, (value, a, b, width) => value.copy(a, b, length * width));
    this.#take(to, { ...this.#rows[from]!, length });
  }

  /** Exchanges what two rows hold, and at once what is noted of them. Neither may be run meanwhile. */
  async swapRows(a: number, b: number): Promise<void> {
    const [one, other] = [this.#rows[a]!, this.#rows[b]!];
    const held = { ...one };
    Object.assign(one, other);
    Object.assign(other, held);
    const length = Math.max(one.length, other.length);
    await this.#eachHead(a, b, (value, x, y, width) => value.swap(x, y, length * width));
  }

  /** Does something where the heads of two rows begin in each value. Long rows are many megabytes: in slices. */
  async #eachHead(
    a: number,
    b: number,
    act: (value: Value, x: number, y: number, width: number) => void,
  ): Promise<void> {
    const slices = new Slices();
    for (const value of this.values.values()) {
      const [, groups, capacity, width] = value.shape as [number, number, number, number];
      const start = (row: number, group: number) => (row * groups + group) * capacity * width;
      for (let g = 0; g < groups; g++) {
        act(value, start(a, g), start(b, g), width);
        await slices.pause();
      }
    }
  }

  /** How many of a row's first positions were turned as they would be in a prompt of `total`. */
  turnedFor(row: number, total: number): number {
    const stretch = rotaryStretch(this.shape.rope, total);
    const { length, stretches } = this.#rows[row]!;
    const other = stretches.findIndex((s) => s !== stretch);
    return other < 0 ? length : other;
  }

  /** Angles for all positions, as they are for sequences of `total` positions: some models change them as they grow. */
  angles(total: number): { readonly cos: Value; readonly sin: Value } {
    this.checkFits(total);
    return this.#angles.for(total);
  }

  /** Throws a ShapeError where a row has no room for `length` positions. */
  checkFits(length: number): void {
    if (length > this.capacity)
      throw new ShapeError(`KvCache: ${length} positions do not fit its capacity of ${this.capacity}`);
  }

  [Symbol.dispose](): void {
    this.next?.[Symbol.dispose]();
    for (const value of this.values.values()) value[Symbol.dispose]();
    if (!this.whole) this.#angles[Symbol.dispose]();
  }
}

/** Tables of angles that are kept: short and long texts of Phi-3 take turns in one batch. */
const KEPT_ANGLES = 2;

/** The angles that a cache's rows were turned by last. */
class Angles implements Disposable {
  /** By stretch, least recently used first. */
  readonly #held = new Map<number, { readonly cos: Value; readonly sin: Value }>();

  constructor(
    readonly runtime: Runtime,
    readonly shape: LanguageModelShape,
    readonly capacity: number,
  ) {}

  for(total: number): { readonly cos: Value; readonly sin: Value } {
    const { rope } = this.shape;
    const stretch = rotaryStretch(rope, total);
    const held = this.#held.get(stretch) ?? this.#make(total);
    this.#held.delete(stretch);
    this.#held.set(stretch, held);
    for (const [oldest] of this.#held) if (this.#held.size > KEPT_ANGLES) this.#drop(oldest);
    return held;
  }

  #make(total: number) {
    const { rope } = this.shape;
    // overCache wants half of the scores' scale, d^(-1/2), with each side.
    const { cos, sin } = rotaryTable(rope, this.capacity, total, rope.head_dim ** -0.25);
    return { cos: this.runtime.value(cos), sin: this.runtime.value(sin) };
  }

  #drop(stretch: number): void {
    const { cos, sin } = this.#held.get(stretch)!;
    cos[Symbol.dispose]();
    sin[Symbol.dispose]();
    this.#held.delete(stretch);
  }

  [Symbol.dispose](): void {
    for (const stretch of this.#held.keys()) this.#drop(stretch);
  }
}

/** What stands for image tokens in a prompt without pictures: one row that no place names. */
export const noTokens = (shape: LanguageModelShape) =>
  f32([1, shape.hidden_size], new Float32Array(shape.hidden_size));
