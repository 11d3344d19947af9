import { setTimeout as sleep } from "node:timers/promises";
import { isUserError, messageOf, UsageError } from "../core/errors.ts";
import { LockHeldError } from "../core/folder-lock.node.ts";
import type { Progress } from "../search/progress.ts";
import type { Failure } from "../search/types.ts";
import type { PictureIndex } from "./ports.ts";

/** The indexing of one folder, as the page shows it. */
export interface FolderJob {
  readonly folder: string;
  readonly state: "queued" | "indexing" | "done" | "failed";
  readonly progress?: Progress;
  /** Files that could not be read: the first {@link BROKEN_SHOWN}. */
  readonly broken: readonly Failure[];
  /** Why the whole folder failed; of a queued one, what it waits for. */
  readonly error?: string;
}

/** Broken files that a job lists; their number is in its progress. */
const BROKEN_SHOWN = 200;

/** When another process is writing to the index, it is asked again after so long. */
const LOCKED_RETRY_MS = 3_000;

/** Listeners hear of progress at most this often. */
const PROGRESS_EVERY_MS = 200;

type Listener = (job: FolderJob) => void;

interface Removal {
  readonly folder: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Changes the index: brings folders in and takes them out, one change at a time, and tells listeners how far it is.
 * A removal does not wait for a long indexing: it interrupts, and what was interrupted goes on where it was.
 */
export class Indexer {
  readonly #jobs = new Map<string, FolderJob>();
  readonly #removals: Removal[] = [];
  readonly #listeners = new Set<Listener>();
  #interrupt = new AbortController();
  #worker: Promise<void> | undefined;
  #closed = false;

  constructor(
    readonly index: PictureIndex,
    /** Is told of failures that are no mistake of the user. */
    readonly onDefect: (error: unknown) => void,
    readonly lockedRetryMs = LOCKED_RETRY_MS,
  ) {}

  /** The latest job of every folder that was indexed since the start. */
  get jobs(): readonly FolderJob[] {
    return [...this.#jobs.values()];
  }

  /** Whether folders are being indexed or wait for it. */
  get busy(): boolean {
    return this.jobs.some(({ state }) => state === "queued" || state === "indexing");
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Queues a folder; one that is queued or being indexed already is not queued again. */
  add(folder: string): FolderJob {
    const known = this.#jobs.get(folder);
    if (known?.state === "queued" || known?.state === "indexing") return known;
    const job = this.#publish({ folder, state: "queued", broken: [] });
    this.#wake();
    return job;
  }

  /** Stops the folder's indexing, if any, and takes its pictures out of the index. */
  remove(folder: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#removals.push({ folder, resolve, reject });
      this.#interrupt.abort();
      this.#wake();
    });
  }

  /** Resolves when nothing is queued or being done. */
  async idle(): Promise<void> {
    await this.#worker;
  }

  /** Stops indexing; what is committed stays, and the next start goes on from there. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#interrupt.abort();
    await this.#worker;
  }

  #publish(job: FolderJob): FolderJob {
    this.#jobs.set(job.folder, job);
    for (const listener of this.#listeners) listener(job);
    return job;
  }

  #wake(): void {
    this.#worker ??= this.#work();
  }

  async #work(): Promise<void> {
    // Callers of add() get their queued job before anything runs.
    await Promise.resolve();
    for (;;) {
      if (this.#closed) break;
      this.#interrupt = new AbortController();
      const removal = this.#removals.shift();
      const queued = this.jobs.find((job) => job.state === "queued");
      if (removal) await this.#removeNow(removal);
      else if (queued) await this.#indexNow(queued.folder, this.#interrupt.signal);
      else break;
    }
    for (const { folder, reject } of this.#removals.splice(0))
      reject(new UsageError(`${folder}: not removed, the server is stopping`));
    this.#worker = undefined;
  }

  async #removeNow({ folder, resolve, reject }: Removal): Promise<void> {
    const known = this.#jobs.delete(folder);
    try {
      // A folder that was still waiting for its turn is not in the index yet: then there is no more to do.
      if (!known || (await this.index.folders()).includes(folder)) await this.index.remove(folder);
      resolve();
    } catch (error) {
      reject(error);
    }
  }

  async #indexNow(folder: string, signal: AbortSignal): Promise<void> {
    this.#publish({ folder, state: "indexing", broken: [] });
    const reporter = new Reporter(this.index, folder, (report) =>
      this.#publish({ folder, state: "indexing", ...report }),
    );
    try {
      await this.index.update(folder, { onProgress: (p) => reporter.report(p), signal });
      reporter.stop();
      this.#publish({ folder, state: "done", ...(await reporter.last()) });
    } catch (error) {
      reporter.stop();
      if (signal.aborted) this.#publish({ folder, state: "queued", broken: [] });
      else if (error instanceof LockHeldError) {
        this.#publish({ folder, state: "queued", broken: [], error: error.message });
        await sleep(this.lockedRetryMs, undefined, { signal }).catch(() => {});
      } else await this.#fail(folder, error, reporter);
    }
  }

  async #fail(folder: string, error: unknown, reporter: Reporter): Promise<void> {
    if (!isUserError(error)) this.onDefect(error);
    const report = await reporter.last().catch(() => ({ broken: [] }));
    this.#publish({ folder, state: "failed", ...report, error: messageOf(error) });
  }
}

interface Report {
  readonly progress?: Progress;
  readonly broken: readonly Failure[];
}

/** Thins out progress reports, and looks the broken files up when their number has grown. */
class Reporter {
  #progress: Progress | undefined;
  #broken: readonly Failure[] = [];
  #brokenFor = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    readonly index: PictureIndex,
    readonly folder: string,
    readonly send: (report: Report) => void,
  ) {}

  report(progress: Progress): void {
    this.#progress = progress;
    this.#timer ??= setTimeout(() => void this.#sendSoon(), PROGRESS_EVERY_MS);
  }

  async #sendSoon(): Promise<void> {
    if ((this.#progress?.failed ?? 0) !== this.#brokenFor) await this.#lookUp();
    this.#timer = undefined;
    if (!this.#stopped) this.send(this.#report());
  }

  /** The final report; the broken files of earlier runs are in it too. */
  async last(): Promise<Report> {
    await this.#lookUp();
    return this.#report();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #report(): Report {
    return { ...(this.#progress && { progress: this.#progress }), broken: this.#broken };
  }

  async #lookUp(): Promise<void> {
    this.#brokenFor = this.#progress?.failed ?? 0;
    // The list is a convenience: when it cannot be had now, the next report tries again.
    this.#broken = await this.index
      .failures({ folder: this.folder, limit: BROKEN_SHOWN })
      .catch(() => this.#broken);
  }
}
