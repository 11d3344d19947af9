import { RuntimeFailure } from "../core/errors.ts";
import { rotaryStretch } from "../nn/rope.ts";
import { Gate } from "../runtime/gate.ts";
import type { StepLogits } from "./bound-step.ts";
import { type BorrowedRow, type CacheRow, CacheRows, type PositionKey } from "./cache-rows.ts";
import { type Decoder, LEAST_CHUNK } from "./decoder.ts";
import type { KvCache } from "./kv-cache.ts";
import {
  type NextLogits,
  nextLogits,
  type Prompt,
  type PromptParts,
  promptParts,
  type Sequence,
  type SequenceOptions,
} from "./sequence.ts";

/** A text among others of a batch. */
export interface BatchSequence extends Sequence {
  /** Positions of its prompt that were known when it joined. */
  readonly known: number;
  /** Ends it; `keys` are all positions that it added to. Nothing of it may be under way. */
  leave(keys: readonly PositionKey[]): void;
}

/** So long the prompts of others may keep a text waiting for its next token, as far as a run can be cut. */
const CHUNK_MS = 100;
/** Before any prompt was computed: a guess. */
const FIRST_TOKENS_PER_MS = 0.3;
/** How much the latest run counts in the mean. */
const SMOOTHING = 0.3;

/** So long the others wait for a text whose reader is slow to take its token; then they go on without it. */
const GRACE_MS = 5;

interface Pending {
  readonly row: CacheRow;
  readonly options: SequenceOptions;
  resolve(logits: NextLogits): void;
  reject(error: unknown): void;
}
interface Step extends Pending {
  readonly id: number;
}
interface Prefill extends Pending {
  readonly parts: PromptParts;
}

/**
 * Continuous batching: texts join and leave between runs. One run adds a token to each text that waits for one; between
 * two of these runs, a piece of one prompt is computed, long enough to pay and short enough to keep nobody waiting.
 * Prompts take turns. A text has one row of the cache, so there are as many as rows; further ones wait in order.
 */
export class Batch implements AsyncDisposable {
  readonly #rows: CacheRows;
  /** As many as rows. */
  readonly #places: Gate;
  #steps: Step[] = [];
  #prefills: Prefill[] = [];
  /** Texts that were given logits and have not said what comes next. */
  readonly #owing = new Set<CacheRow>();
  #answered: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** Rows that ran together last, by where they lie: what is bound for them is kept. */
  readonly #parts = new Map<string, KvCache>();
  #tokensPerMs = FIRST_TOKENS_PER_MS;
  #isClosed = false;

  constructor(
    readonly decoder: Decoder,
    /** Texts at the same time. */
    readonly size: number,
    /** Positions of each. */
    readonly capacity: number,
  ) {
    this.#rows = new CacheRows(decoder, size, capacity);
    this.#places = new Gate(size);
  }

  /** Joins with a prompt, of which `known` positions need not be given. Rejects with the signal's reason. */
  async join(keys: readonly PositionKey[], { signal }: SequenceOptions = {}): Promise<BatchSequence> {
    const free = await this.#places.enter(signal);
    try {
      signal?.throwIfAborted();
      this.#checkOpen();
      const borrowed = await this.#rows.borrow(keys);
      this.#checkOpen();
      return this.#sequence(borrowed, free);
    } catch (error) {
      free();
      throw error;
    }
  }

  #sequence({ row, length: known }: BorrowedRow, free: () => void): BatchSequence {
    const { cache } = this.#rows;
    const held = () => cache.lengths[row.index]!;
    // What has no room would fail the run, and with it the others.
    const checkRoom = (more: number) => cache.checkFits(held() + more);
    return {
      known,
      get room() {
        return cache.capacity - held();
      },
      prefill: async (prompt: Prompt, options = {}) => {
        checkRoom(prompt.ids.length);
        const parts = promptParts(prompt, held());
        return this.#ask(row, options, (pending) => this.#prefills.push({ ...pending, parts }));
      },
      next: async (id, options = {}) => {
        checkRoom(1);
        return this.#ask(row, options, (pending) => this.#steps.push({ ...pending, id }));
      },
      leave: (all) => {
        this.#rows.giveBack(row, all);
        this.#settle(row);
        free();
      },
    };
  }

  #ask(row: CacheRow, options: SequenceOptions, add: (pending: Pending) => unknown): Promise<NextLogits> {
    this.#checkOpen();
    return new Promise((resolve, reject) => {
      add({ row, options, resolve, reject });
      this.#settle(row);
      this.#running ??= this.#run();
    });
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new RuntimeFailure("batch: it was released; load the model again");
  }

  #settle(row: CacheRow): void {
    this.#owing.delete(row);
    if (this.#owing.size === 0) this.#answered?.();
  }

  /** Runs as long as anything is asked for. Rejects never: failures belong to those who asked. */
  async #run(): Promise<void> {
    while (this.#steps.length > 0 || this.#prefills.length > 0) {
      await this.#gathered();
      const steps = alive(this.#steps.splice(0));
      if (steps.length > 0) await this.#decode(steps);
      this.#prefills = alive(this.#prefills);
      const prefill = this.#prefills.shift();
      if (prefill) await this.#extend(prefill);
    }
    this.#running = undefined;
  }

  /** Waits until those that got logits have said what comes next, but not for slow ones. */
  async #gathered(): Promise<void> {
    if (this.#owing.size === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#answered = resolve;
      timer = setTimeout(resolve, GRACE_MS);
    });
    clearTimeout(timer);
    this.#answered = undefined;
    this.#owing.clear();
  }

  /** One token more for each. Where angles depend on the length, only texts of the same ones can be turned together. */
  async #decode(steps: readonly Step[]): Promise<void> {
    const groups = this.#byAngles(steps);
    const gathered = this.#rows.gather(groups.map((group) => group.map((step) => step.row)));
    const used = new Set<string>();
    let start = 0;
    for (const group of groups) {
      try {
        await gathered;
        const inOrder = group.toSorted((a, b) => a.row.index - b.row.index);
        const place = `${start}+${group.length}`;
        used.add(place);
        if (!this.#parts.has(place)) this.#parts.set(place, this.#rows.cache.part(start, group.length));
        const logits = await this.decoder.run(this.#parts.get(place)!, {
          ids: inOrder.map((step) => [step.id]),
        });
        for (const [i, step] of inOrder.entries()) this.#deliver(step, logits, i);
      } catch (error) {
        for (const step of group) step.reject(error);
      }
      start += group.length;
    }
    this.#dropParts((place) => !used.has(place));
  }

  /** Always in the same order, so that rows that are gathered stay where they are. */
  #byAngles(steps: readonly Step[]): Step[][] {
    const { lengths } = this.#rows.cache;
    const groups = new Map<number, Step[]>();
    for (const step of steps) {
      const stretch = rotaryStretch(this.decoder.shape.rope, lengths[step.row.index]! + 1);
      const group = groups.get(stretch);
      if (group) group.push(step);
      else groups.set(stretch, [step]);
    }
    return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group);
  }

  /** A piece more of a prompt. */
  async #extend(prefill: Prefill): Promise<void> {
    const { parts, row, options } = prefill;
    const chunk = this.decoder.chunkFor(this.capacity);
    const isAlone = this.#steps.length === 0 && this.#owing.size === 0 && this.#prefills.length === 0;
    const fitting = Math.max(LEAST_CHUNK, Math.floor(this.#tokensPerMs * CHUNK_MS));
    try {
      using part = this.#rows.cache.part(row.index, 1);
      const step = parts.next(isAlone ? chunk : Math.min(chunk, fitting));
      const started = performance.now();
      const logits = await this.decoder.run(part, step, options);
      const rate = step.ids[0].length / (performance.now() - started);
      if (step.ids[0].length >= LEAST_CHUNK) this.#tokensPerMs += SMOOTHING * (rate - this.#tokensPerMs);
      if (parts.isDone) this.#deliver(prefill, logits, 0);
      else this.#prefills.push(prefill);
    } catch (error) {
      prefill.reject(error);
    }
  }

  #deliver({ row, resolve }: Pending, logits: StepLogits, index: number): void {
    this.#owing.add(row);
    resolve(nextLogits(logits, index));
  }

  #dropParts(isOver: (place: string) => boolean): void {
    for (const [place, part] of this.#parts) {
      if (!isOver(place)) continue;
      part[Symbol.dispose]();
      this.#parts.delete(place);
    }
  }

  /** Waits for what is under way; those that asked for more are to be told by their signals. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    this.#dropParts(() => true);
    await this.#rows[Symbol.asyncDispose]();
  }
}

/** What is still wanted; the others are told why not. */
function alive<T extends Pending>(pending: readonly T[]): T[] {
  return pending.filter(({ options: { signal }, reject }) => {
    if (signal?.aborted) reject(signal.reason);
    return !signal?.aborted;
  });
}
