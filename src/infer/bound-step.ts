import { type HostTensor, hostTensor, i64 } from "../core/array.ts";
import type { LanguageModelShape } from "../nn/decoder.ts";
import type { RunOptions, Runtime, Session, Value } from "../runtime/runtime.ts";
import type { KvCache } from "./kv-cache.ts";

/** What a step gives beside its cache: values of the graph's inputs (see decoderGraph). */
export interface StepInputs {
  /** [B, L], row by row. */
  readonly ids: readonly number[];
  readonly rows: readonly number[];
  /** [R, D] */
  readonly tokens: Value;
  /** Positions of the whole sequence; default: those that are held after the step. */
  readonly sequence?: number;
}

/** What a step says of the next token of each row. */
export interface StepLogits extends HostTensor<"f32"> {
  /** log Σ exp of each row's logits, in f32: NaN or infinite where they are no distribution. */
  readonly logSums: Float32Array;
}

/**
 * A decoder's session with a cache and the values of steps of L positions bound: made once, run for every step of that
 * length. Its memory is its logits, and as long as it lives, the cache's.
 */
export class BoundStep implements Disposable {
  readonly #binding;
  readonly #owned: Readonly<
    Record<"ids" | "rows" | "last" | "total" | "pick" | "logits" | "log_sums", Value>
  >;
  readonly #bound = new Map<string, Value>();

  constructor(
    runtime: Runtime,
    readonly session: Session,
    readonly cache: KvCache,
    readonly length: number,
    { vocab_size }: LanguageModelShape,
  ) {
    const B = cache.rows;
    const empty = (shape: readonly number[], dtype: "i64" | "i32" = "i64") => runtime.empty(dtype, shape);
    this.#owned = {
      ids: empty([B, length]),
      rows: empty([B, length]),
      last: empty([B], "i32"),
      total: empty([], "i32"),
      pick: runtime.value(i64([B, 1], new Array<number>(B).fill(length - 1))),
      logits: runtime.empty("f32", [B, vocab_size]),
      log_sums: runtime.empty("f32", [B, 1]),
    };
    this.#binding = session.bind();
    const { logits, log_sums, ...inputs } = this.#owned;
    for (const [name, value] of Object.entries(inputs)) this.#binding.input(name, value);
    this.#binding.output("logits", logits).output("log_sums", log_sums);
    for (const [name, value] of cache.values) this.#binding.input(name, value).output(`new.${name}`, value);
  }

  /** The logits of each row's last position, [B, V]; the cache's lengths are extended once it has run. */
  async run({ ids, rows, tokens, sequence = 0 }: StepInputs, options: RunOptions): Promise<StepLogits> {
    const { cache, length } = this;
    const lengths = cache.lengths.map((held) => held + length);
    const total = Math.max(...lengths);
    const turned = Math.max(total, sequence);
    const { cos, sin } = cache.angles(turned);
    for (const [name, value] of Object.entries({ tokens, cos, sin })) this.#bind(name, value);
    const B = cache.rows;
    this.#owned.ids.write(i64([B, length], ids));
    this.#owned.rows.write(i64([B, length], rows));
    this.#owned.last.write(
      hostTensor(
        "i32",
        [B],
        Int32Array.from(lengths, (n) => n - 1),
      ),
    );
    this.#owned.total.write(hostTensor("i32", [], Int32Array.of(total)));
    await this.#binding.run(options);
    cache.extend(length, turned);
    const [logits, sums] = await Promise.all([this.#owned.logits.read(), this.#owned.log_sums.read()]);
    return { ...(logits as HostTensor<"f32">), logSums: sums.data as Float32Array };
  }

  #bind(name: string, value: Value): void {
    if (this.#bound.get(name) === value) return;
    this.#binding.input(name, value);
    this.#bound.set(name, value);
  }

  [Symbol.dispose](): void {
    this.#binding[Symbol.dispose]();
    for (const value of Object.values(this.#owned)) value[Symbol.dispose]();
  }
}
