/** Where an update is. */
export interface Progress {
  /** scan: folders are compared with the index; embed; remove: what has gone leaves; optimize: tidying the files. */
  readonly phase: "scan" | "embed" | "remove" | "optimize" | "done";
  /** Files of this phase that are done. */
  readonly done: number;
  /** Files of this phase in all; undefined while they are still being counted. */
  readonly total: number | undefined;
  /** Files of this run that could not be used. */
  readonly failed: number;
  /** Files per second over the last seconds of this phase. */
  readonly ratePerSecond: number;
  /** Undefined while it cannot be told. */
  readonly etaSeconds: number | undefined;
  readonly currentPath: string | undefined;
}

const REPORT_EVERY_MS = 100;
const RATE_WINDOW_MS = 15_000;

/** Counts, rates and reports; reports are spaced, but each change of phase is reported. */
export class ProgressMeter {
  failed = 0;
  #phase: Progress["phase"] = "scan";
  #done = 0;
  #total: number | undefined;
  #currentPath: string | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;
  /** Pairs of time and `done`, oldest first, at most one per report. */
  #samples: [ms: number, done: number][] = [];

  /** `now`: a clock in milliseconds. */
  constructor(
    private readonly report: ((progress: Progress) => void) | undefined,
    private readonly now: () => number,
  ) {}

  start(phase: Progress["phase"], total?: number): void {
    this.#phase = phase;
    this.#done = 0;
    this.#total = total;
    this.#currentPath = undefined;
    this.#samples = [[this.now(), 0]];
    this.#emit();
  }

  step(count: number, path?: string): void {
    this.#done += count;
    // A folder may grow while it is walked: never more done than there is.
    if (this.#total !== undefined) this.#total = Math.max(this.#total, this.#done);
    this.#currentPath = path;
    if (this.now() - this.#reportedAt >= REPORT_EVERY_MS) this.#emit();
  }

  #emit(): void {
    if (!this.report) return;
    const now = this.now();
    this.#reportedAt = now;
    this.#samples.push([now, this.#done]);
    while (this.#samples.length > 2 && now - this.#samples[0]![0] > RATE_WINDOW_MS) this.#samples.shift();
    const [since, before] = this.#samples[0]!;
    const ratePerSecond = now > since ? ((this.#done - before) * 1000) / (now - since) : 0;
    const left = this.#total === undefined ? undefined : this.#total - this.#done;
    this.report({
      phase: this.#phase,
      done: this.#done,
      total: this.#total,
      failed: this.failed,
      ratePerSecond,
      etaSeconds:
        left === undefined
          ? undefined
          : left === 0
            ? 0
            : ratePerSecond > 0
              ? left / ratePerSecond
              : undefined,
      currentPath: this.#currentPath,
    });
  }
}
