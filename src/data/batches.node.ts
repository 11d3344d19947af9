import { Worker } from "node:worker_threads";
import { type HostTensor, hostTensor } from "../core/array.ts";
import { MediaError, RuntimeFailure } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import type { BatchReply, BatchRequest } from "./batch.worker.node.ts";
import type { BatchWork, MadeBatch } from "./batch-maker.node.ts";
import {
  type BatchOptions,
  checkBatchOptions,
  checkPictureOptions,
  type PictureBatchOptions,
  type PictureItem,
} from "./batch-options.ts";
import { captionTables, drawCaption } from "./captions.ts";
import { planEpoch, stepsPerEpoch } from "./epoch.ts";
import { makeCacheMemory } from "./picture-cache.ts";
import { drawTextPairs } from "./text-pairs.ts";

/** One batch of pictures. */
export interface PictureBatch {
  readonly step: number;
  /** u8 [B, size, size, 3]. */
  readonly pixels: HostTensor<"u8">;
  /** Where each picture is in the given items. */
  readonly items: readonly number[];
}

/** One batch of image-text pairs. */
export interface TrainingBatch extends PictureBatch {
  /**
   * The first caption of every picture, then the second of every picture, and so on: one for each table of languages;
   * then the first text of every text pair, then the second of every pair.
   */
  readonly texts: readonly string[];
}

/** An endless sequence of batches; leaving a `for await` loop over it disposes of it. */
export interface Batches<B = TrainingBatch> extends AsyncIterable<B>, AsyncDisposable {
  readonly stepsPerEpoch: number;
  /** Time that callers of `next` have spent waiting: near 0 when the threads keep up. */
  readonly waitedMs: number;
  /** Batches that are finished and wait to be asked for; at most `prefetch`. */
  readonly ready: number;
  next(): Promise<B>;
}

const DEFAULT_CACHE_BYTES = 512 * 2 ** 20;
const DEFAULT_STORE_SCALE = 1.5;

/**
 * Starts threads that make contrastive training batches ahead of their use. Batch k depends only on the items, the
 * options and (seed, k), not on the number of threads, the cache or where the run began: a resumed run sees the same
 * batches. Decoding, cropping and flipping happen in the threads; at most `prefetch` batches are made ahead.
 *
 * Throws a ConfigError with all unusable options; `next` rejects with a MediaError when no picture can be decoded.
 */
export function openBatches(options: BatchOptions): Batches {
  checkBatchOptions(options);
  return new ThreadedBatches(options, (batch) => ({ ...batch, texts: drawTexts(batch, options) }));
}

/** As {@link openBatches}, pictures alone. */
export function openPictureBatches(options: PictureBatchOptions): Batches<PictureBatch> {
  checkPictureOptions(options);
  return new ThreadedBatches(options, (batch) => batch);
}

function drawTexts({ step, items }: PictureBatch, options: BatchOptions): string[] {
  const { items: all, languages, firstCaptionShare, textPairs, seed } = options;
  const rng = new Rng(String(seed)).fork(`caption/${step}`);
  const captions = captionTables(languages).flatMap((table, c) =>
    items.map((item, slot) =>
      drawCaption(all[item]!, table, rng.fork(c * items.length + slot), firstCaptionShare),
    ),
  );
  const pairs = textPairs ? drawTextPairs(textPairs.lists, textPairs.count, rng.fork("pairs")) : [];
  return [...captions, ...pairs];
}

/**
 * A thread on the worker's source: JavaScript in a build, TypeScript in a clone. Threads do not inherit the main
 * thread's module hooks on Node 20, so there a line of JavaScript registers tsx first.
 */
function startThread(work: BatchWork): Worker {
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./batch.worker.node.js", import.meta.url), { workerData: work });
  const api = import.meta.resolve("tsx/esm/api");
  const source = new URL("./batch.worker.node.ts", import.meta.url).href;
  const start = `import { register } from ${JSON.stringify(api)}; register(); await import(${JSON.stringify(source)});`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(start)}`), {
    workerData: work,
    execArgv: [],
  });
}

/** Equal numbers for items of equal group; an item without one is a group by itself. */
function numberGroups(items: readonly PictureItem[]): Int32Array {
  const numbers = new Map<string | number, number>();
  return Int32Array.from(items, ({ group }, i) => {
    const key = group ?? i;
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    return numbers.get(key)!;
  });
}

interface Waiter<B> {
  readonly resolve: (batch: B) => void;
  readonly reject: (error: unknown) => void;
}

class ThreadedBatches<B> implements Batches<B> {
  readonly stepsPerEpoch: number;
  waitedMs = 0;
  readonly #options: PictureBatchOptions;
  readonly #work: BatchWork;
  readonly #threads: Worker[];
  readonly #idle: Worker[];
  readonly #finished = new Map<number, B>();
  readonly #waiting: Waiter<B>[] = [];
  readonly #reported = new Set<number>();
  /** Plans of the epochs in use: two while the batches ahead are in the next one. */
  readonly #plans = new Map<number, Int32Array>();
  #nextRequest: number;
  #nextDelivery: number;
  #failure: Error | undefined;

  constructor(
    options: PictureBatchOptions,
    readonly complete: (batch: PictureBatch) => B,
  ) {
    const { items, batchSize, size, seed } = options;
    const storeSide = options.storeSide ?? Math.ceil(size * DEFAULT_STORE_SCALE);
    const cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES;
    this.#options = options;
    this.#work = {
      paths: items.map((item) => item.path),
      groups: numberGroups(items),
      weights: Float64Array.from(items, (item) => item.weight),
      size,
      storeSide,
      ...(options.augmentation && { augmentation: options.augmentation }),
      seed: String(seed),
      decoding: options.decoding ?? {},
      cache: makeCacheMemory(items.length, cacheBytes),
    };
    this.stepsPerEpoch = stepsPerEpoch(this.#work.weights, batchSize);
    this.#nextRequest = this.#nextDelivery = options.startStep ?? 0;
    this.#threads = Array.from({ length: options.workers ?? 1 }, () => startThread(this.#work));
    this.#idle = [...this.#threads];
    for (const thread of this.#threads) this.#listen(thread);
    this.#request();
  }

  get ready(): number {
    return this.#finished.size;
  }

  async next(): Promise<B> {
    if (this.#failure) throw this.#failure;
    const started = performance.now();
    const batch = new Promise<B>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#deliver();
    try {
      return await batch;
    } finally {
      this.waitedMs += performance.now() - started;
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<B, undefined> {
    return {
      next: async () => ({ done: false, value: await this.next() }),
      return: async () => {
        await this[Symbol.asyncDispose]();
        return { done: true, value: undefined };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new RuntimeFailure("training batches: expected to be open, found them disposed of"));
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #listen(thread: Worker): void {
    thread.on("message", (reply: BatchReply) => {
      if (this.#failure) return;
      if ("error" in reply)
        return this.#fail(reply.user ? new MediaError(reply.error) : new RuntimeFailure(reply.error));
      this.#idle.push(thread);
      this.#finished.set(reply.batch.step, this.#complete(reply.batch));
      this.#deliver();
    });
    thread.on("error", (cause) => {
      this.#fail(
        new RuntimeFailure(`training batches: a thread failed: ${(cause as Error).message}`, { cause }),
      );
    });
    thread.on("exit", (code) => {
      this.#fail(new RuntimeFailure(`training batches: a thread ended unexpectedly with code ${code}`));
    });
  }

  /** Hands finished batches out in order, and the room that this makes to the threads. */
  #deliver(): void {
    for (
      let batch = this.#finished.get(this.#nextDelivery);
      batch;
      batch = this.#finished.get(this.#nextDelivery)
    ) {
      const waiter = this.#waiting.shift();
      if (!waiter) break;
      this.#finished.delete(this.#nextDelivery++);
      waiter.resolve(batch);
    }
    this.#request();
  }

  #request(): void {
    const { prefetch = 4, batchSize } = this.#options;
    while (this.#idle.length > 0 && this.#nextRequest < this.#nextDelivery + prefetch) {
      const step = this.#nextRequest++;
      const at = (step % this.stepsPerEpoch) * batchSize;
      const items = this.#plan(Math.floor(step / this.stepsPerEpoch)).slice(at, at + batchSize);
      this.#idle.shift()!.postMessage({ step, items } satisfies BatchRequest);
    }
  }

  #plan(epoch: number): Int32Array {
    let plan = this.#plans.get(epoch);
    if (!plan) {
      plan = planEpoch(this.#work, this.#options.batchSize, new Rng(this.#work.seed).fork(`epoch/${epoch}`));
      this.#plans.set(epoch, plan);
      this.#plans.delete(epoch - 2);
    }
    return plan;
  }

  #complete({ step, pixels, items, broken }: MadeBatch): B {
    const { items: all, size, onBroken } = this.#options;
    for (const { item, reason } of broken)
      if (!this.#reported.has(item)) {
        this.#reported.add(item);
        onBroken?.({ item, path: all[item]!.path!, reason });
      }
    return this.complete({
      step,
      pixels: hostTensor("u8", [items.length, size, size, 3], pixels),
      items: Array.from(items),
    });
  }

  /** The first failure wins; whoever waits or asks later gets it. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#failure);
  }
}
