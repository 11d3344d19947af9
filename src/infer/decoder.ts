import { type HostTensor, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import type { CausalLanguageModel, LanguageModelShape } from "../nn/decoder.ts";
import type { RunOptions, Runtime, Session, Value, WeightSet } from "../runtime/runtime.ts";
import { BoundStep, type StepLogits } from "./bound-step.ts";
import { FEW_ROWS } from "./check-attention.ts";
import { decoderGraph, reorderGraph } from "./decoder-graph.ts";
import { KvCache, noTokens } from "./kv-cache.ts";

/** Most tokens of a prompt that are computed in one run: bounds memory and the time until an abort. */
const PREFILL_CHUNK = 128;
/** Tokens of a prompt below which a run costs more than it brings. */
export const LEAST_CHUNK = 16;
/** The kernel has a score for each head, new token and position of the cache's capacity. */
const SCORE_BYTES = 128 * 2 ** 20;

/**
 * A step is hundreds of operators of some ten microseconds: threads that slept between them would help with few. As long
 * as an operator or two, so that little is lost on a busy machine (docs/LOG.md, 2026-11-29).
 */
const SPIN_MICROSECONDS = 50;

/** New positions of every row of a cache. */
export interface DecoderStep {
  /** As many for each row; a single row where the cache holds positions already and there is more than one new one. */
  readonly ids: readonly (readonly number[])[];
  /** Image tokens [R, D], and for each id the row that stands in its place, negative for text. */
  readonly images?: { readonly tokens: HostTensor<"f32"> | Value; readonly rows: readonly number[] };
  /** Positions of the sequence, where more of it are known than this step brings: some models' angles depend on it. */
  readonly total?: number;
}

/** A language model that generates: sessions over shared weights. Runs of one cache must not overlap. */
export class Decoder implements AsyncDisposable {
  readonly shape: LanguageModelShape;
  readonly #noTokens: Value;
  #reorder: Promise<Session> | undefined;

  private constructor(
    readonly runtime: Runtime,
    readonly language: CausalLanguageModel,
    readonly session: Session,
    readonly largestChunk: number,
  ) {
    this.shape = language.shape;
    this.#noTokens = runtime.value(noTokens(language.shape));
  }

  static async create(
    runtime: Runtime,
    language: CausalLanguageModel,
    weights: WeightSet,
    options: {
      readonly threads?: number;
      /** See {@link attendsManyRows}; default true. */
      readonly manyRows?: boolean;
    } = {},
  ): Promise<Decoder> {
    const { manyRows = true, ...rest } = options;
    const session = await runtime.session(decoderGraph(language, runtime.device), {
      weights,
      spinMicroseconds: SPIN_MICROSECONDS,
      ...rest,
    });
    return new Decoder(runtime, language, session, manyRows ? PREFILL_CHUNK : FEW_ROWS);
  }

  /** Tokens of a prompt that are best computed in one run over a cache of so many positions. */
  chunkFor(capacity: number): number {
    const fitting = Math.floor(SCORE_BYTES / (4 * this.shape.num_attention_heads * capacity));
    return Math.min(this.largestChunk, Math.max(LEAST_CHUNK, fitting));
  }

  /** An empty cache for so many sequences of at most `capacity` positions. */
  cache(rows: number, capacity: number): KvCache {
    return KvCache.create(this.runtime, this.session, this.shape, rows, capacity);
  }

  /**
   * Extends the cache by the step's positions and gives the logits of each row's last one, [B, V]. Throws a ShapeError
   * when the step does not fit the cache.
   */
  async run(cache: KvCache, step: DecoderStep, options: RunOptions = {}): Promise<StepLogits> {
    const [B, L] = [step.ids.length, step.ids[0]?.length ?? 0];
    if (B !== cache.rows || L === 0 || step.ids.some((row) => row.length !== L))
      throw new ShapeError(
        `Decoder: ${cache.rows} rows of as many ids are expected, found ${step.ids.map((r) => r.length)}`,
      );
    if (L > 1 && B > 1 && cache.length > 0)
      throw new ShapeError("Decoder: several rows take one position at a time once they hold some");
    const inputs = {
      ids: step.ids.flat(),
      rows: step.images?.rows ?? new Array<number>(B * L).fill(-1),
      ...(step.total !== undefined && { sequence: step.total }),
    };
    const tokens = step.images?.tokens ?? this.#noTokens;
    using owned = "data" in tokens ? this.runtime.value(tokens) : undefined;
    const all = { ...inputs, tokens: owned ?? (tokens as Value) };
    // Steps of one position follow each other: what they bind is kept with the cache.
    if (L === 1) return await this.#next(cache).run(all, options);
    using bound = new BoundStep(this.runtime, this.session, cache, L, this.shape);
    return await bound.run(all, options);
  }

  #next(cache: KvCache): BoundStep {
    if (cache.next?.session !== this.session) {
      cache.next?.[Symbol.dispose]();
      cache.next = new BoundStep(this.runtime, this.session, cache, 1, this.shape);
    }
    return cache.next;
  }

  /** A cache whose row i is row parents[i] of `from`; `into`, of as many rows and the same capacity, is overwritten. */
  async reorder(from: KvCache, parents: readonly number[], into: KvCache): Promise<void> {
    if (into.rows !== parents.length || into.capacity !== from.capacity || into === from)
      throw new ShapeError("Decoder: rows are reordered into another cache of their number and capacity");
    this.#reorder ??= this.runtime.session(reorderGraph(this.language));
    const session = await this.#reorder;
    using index = this.runtime.value(i64([parents.length], parents));
    using binding = session.bind();
    binding.input("parents", index);
    for (const [name, value] of from.values)
      binding.input(name, value).output(`new.${name}`, into.values.get(name)!);
    await binding.run();
    into.copied(from, parents);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
    await (await this.#reorder)?.[Symbol.asyncDispose]();
    this.#noTokens[Symbol.dispose]();
  }
}
