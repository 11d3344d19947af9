import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import type { LanguageModelShape } from "../nn/decoder.ts";
import { rotaryLimit, rotaryTable } from "../nn/rope.ts";
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
  #angles:
    | { readonly from: number; readonly to: number; readonly cos: Value; readonly sin: Value }
    | undefined;

  constructor(
    runtime: Runtime,
    readonly shape: LanguageModelShape,
    readonly rows: number,
    readonly capacity: number,
  ) {
    const { num_hidden_layers, num_key_value_heads, rope } = shape;
    const size = [rows, num_key_value_heads, capacity, rope.head_dim];
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
  }

  /** Angles for all positions, as they are for sequences of `total` positions: some models change them as they grow. */
  angles(total: number): { readonly cos: Value; readonly sin: Value } {
    if (total > this.capacity)
      throw new ShapeError(`KvCache: ${total} positions do not fit its capacity of ${this.capacity}`);
    const known = this.#angles;
    if (known && total >= known.from && total <= known.to) return known;
    const { rope } = this.shape;
    const table = rotaryTable(rope, this.capacity, total);
    const [cos, sin] = [this.#runtime.value(table.cos), this.#runtime.value(table.sin)];
    this.#release();
    this.#angles = { ...this.#range(total), cos, sin };
    return this.#angles;
  }

  /** Lengths for which the angles are the same as for `total`. */
  #range(total: number): { readonly from: number; readonly to: number } {
    const limit = rotaryLimit(this.shape.rope) ?? this.capacity;
    if (total <= limit) return { from: 0, to: limit };
    return this.shape.rope.scaling?.type === "dynamic"
      ? { from: total, to: total }
      : { from: limit + 1, to: this.capacity };
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
