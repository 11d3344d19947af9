import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import type { LanguageModelShape } from "../nn/decoder.ts";
import { rotaryStretch, rotaryTable } from "../nn/rope.ts";
import { cachedWidth } from "../ops/index.ts";
import type { Runtime, Value } from "../runtime/runtime.ts";
import type { BoundStep } from "./bound-step.ts";
import { cacheNames } from "./decoder-graph.ts";

/**
 * Keys and values of the positions that a decoder has seen, for `rows` sequences with room for `capacity` positions
 * each, in the runtime's memory: 8 · layers · groups · width bytes a position and row. Dispose of it after the runs.
 */
export class KvCache implements Disposable {
  /** By the graph's input name: [rows, G, capacity, d]. */
  readonly values: ReadonlyMap<string, Value>;
  /** Positions held, by row. */
  readonly lengths: number[];
  /** What a decoder has bound for its next step of one position; disposed of with the cache. */
  next: BoundStep | undefined;
  readonly #runtime: Runtime;
  #angles: { readonly stretch: number; readonly cos: Value; readonly sin: Value } | undefined;
  /** By which angles each position was turned, as {@link rotaryStretch} numbers them. */
  #stretches: number[] = [];

  constructor(
    runtime: Runtime,
    readonly shape: LanguageModelShape,
    readonly rows: number,
    readonly capacity: number,
  ) {
    const { num_hidden_layers, num_key_value_heads, rope } = shape;
    const size = [rows, num_key_value_heads, capacity, cachedWidth(rope.head_dim)];
    const names = Array.from({ length: num_hidden_layers }, (_, i) => cacheNames(i)).flat();
    this.#runtime = runtime;
    this.values = new Map(names.map((name) => [name, runtime.empty("f32", size)]));
    this.lengths = new Array<number>(rows).fill(0);
  }

  /** Longest of the rows. */
  get length(): number {
    return Math.max(...this.lengths);
  }

  /** Forgets what comes after the first `length` positions. */
  truncate(length: number): void {
    for (const [i, held] of this.lengths.entries()) this.lengths[i] = Math.min(held, length);
    this.#stretches.length = this.length;
  }

  /** Notes that the rows hold so many positions now, of which the new ones were turned as in a sequence of `total`. */
  extend(lengths: readonly number[], total: number): void {
    const stretch = rotaryStretch(this.shape.rope, total);
    for (const [i, length] of lengths.entries()) this.lengths[i] = length;
    while (this.#stretches.length < this.length) this.#stretches.push(stretch);
  }

  /** Notes that row i is row parents[i] of another cache now. */
  copied(from: KvCache, parents: readonly number[]): void {
    for (const [i, parent] of parents.entries()) this.lengths[i] = from.lengths[parent]!;
    this.#stretches = from.#stretches.slice(0, this.length);
  }

  /** How many of the first positions were turned as they would be in a prompt of `total`. */
  turnedFor(total: number): number {
    const stretch = rotaryStretch(this.shape.rope, total);
    const other = this.#stretches.findIndex((s) => s !== stretch);
    return other < 0 ? this.length : other;
  }

  /** Angles for all positions, as they are for sequences of `total` positions: some models change them as they grow. */
  angles(total: number): { readonly cos: Value; readonly sin: Value } {
    if (total > this.capacity)
      throw new ShapeError(`KvCache: ${total} positions do not fit its capacity of ${this.capacity}`);
    const { rope } = this.shape;
    const stretch = rotaryStretch(rope, total);
    if (this.#angles?.stretch === stretch) return this.#angles;
    const table = rotaryTable(rope, this.capacity, total);
    const [cos, sin] = [this.#runtime.value(table.cos), this.#runtime.value(table.sin)];
    this.#release();
    this.#angles = { stretch, cos, sin };
    return this.#angles;
  }

  #release(): void {
    this.#angles?.cos[Symbol.dispose]();
    this.#angles?.sin[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.next?.[Symbol.dispose]();
    for (const value of this.values.values()) value[Symbol.dispose]();
    this.#release();
  }
}

/** What stands for image tokens in a prompt without pictures: one row that no place names. */
export const noTokens = (shape: LanguageModelShape) =>
  f32([1, shape.hidden_size], new Float32Array(shape.hidden_size));
