import { bytes, count } from "./table.ts";
import { cells, shorten, style, type Terminal, visible } from "./terminal.ts";

export interface ProgressState {
  /** What is being done: "indexing". */
  readonly label: string;
  readonly done: number;
  /** Unknown while it is still being counted. */
  readonly total?: number | undefined;
  /** Computed from the calls when absent. */
  readonly ratePerSecond?: number | undefined;
  readonly etaSeconds?: number | undefined;
  /** More to say: the loss, a path, how many failed. */
  readonly note?: string | undefined;
  /** What `done` counts: things, bytes, or seconds where there is nothing to count. Default "count". */
  readonly unit?: "count" | "bytes" | "seconds";
}

export interface ProgressOptions {
  /** Milliseconds; injected by tests. */
  readonly now?: () => number;
  /** Between two plain lines, where there is no TTY. */
  readonly lineEveryMs?: number;
}

const REDRAW_EVERY_MS = 80;
const RATE_WINDOW_MS = 15_000;
const BAR_CELLS = 20;
/** A shorter piece of a note says nothing. */
const MIN_NOTE_CELLS = 12;
const GAP = "  ";

/**
 * Progress with rate and time left: one line that is redrawn on a terminal, a plain line every few seconds
 * elsewhere (short tasks print none). Written to stderr: stdout is for results.
 */
export class Progress implements Disposable {
  readonly #now: () => number;
  readonly #lineEveryMs: number;
  #samples: { readonly at: number; readonly done: number }[] = [];
  #label = "";
  #lastShown: number;
  #drawn = false;

  constructor(
    readonly terminal: Terminal,
    options: ProgressOptions = {},
  ) {
    this.#now = options.now ?? (() => performance.now());
    this.#lineEveryMs = options.lineEveryMs ?? 5_000;
    this.#lastShown = terminal.isTTY ? Number.NEGATIVE_INFINITY : this.#now();
  }

  update(state: ProgressState): void {
    const at = this.#now();
    if (state.label !== this.#label) {
      this.#label = state.label;
      this.#samples = [{ at, done: state.done }];
    }
    this.#samples.push({ at, done: state.done });
    while (this.#samples.length > 2 && at - this.#samples[0]!.at > RATE_WINDOW_MS) this.#samples.shift();
    if (at - this.#lastShown < (this.terminal.isTTY ? REDRAW_EVERY_MS : this.#lineEveryMs)) return;
    this.#lastShown = at;
    if (this.terminal.isTTY) this.#draw(state);
    else {
      const note = state.note ? GAP + visible(state.note) : "";
      void this.terminal.write(`${state.label}${this.#facts(state)}${note}\n`);
    }
  }

  /** Takes the bar away, so that something else can be printed. */
  clear(): void {
    if (this.#drawn) void this.terminal.write("\r\x1b[K");
    this.#drawn = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  #draw(state: ProgressState): void {
    const { label, done, total } = state;
    const filled = total ? Math.round(Math.min(1, done / total) * BAR_CELLS) : 0;
    const bar = total
      ? ` ${style(this.terminal, "cyan", "━".repeat(filled))}${style(this.terminal, "dim", "─".repeat(BAR_CELLS - filled))}`
      : "";
    // The last column stays free: some terminals wrap when it is written to.
    const facts = shorten(this.#facts(state), this.terminal.columns - 1 - cells(label + bar));
    const room = this.terminal.columns - 1 - cells(label + bar + facts) - GAP.length;
    const note = state.note && room >= MIN_NOTE_CELLS ? GAP + shorten(visible(state.note), room) : "";
    void this.terminal.write(`\r\x1b[K${label}${bar}${facts}${note}`);
    this.#drawn = true;
  }

  /** Count, share, rate and time left, beginning with a space. */
  #facts({ done, total, ratePerSecond, etaSeconds, unit }: ProgressState): string {
    if (unit === "seconds") return ` ${duration(done)}`;
    const rate = ratePerSecond ?? this.#rate();
    const eta = etaSeconds ?? (total !== undefined && rate > 0 ? (total - done) / rate : undefined);
    const amount = unit === "bytes" ? bytes : count;
    const facts = [total === undefined ? amount(done) : `${amount(done)}/${amount(total)}`];
    if (total) facts.push(`${Math.floor((100 * done) / total)} %`);
    if (rate > 0)
      facts.push(`${unit !== "bytes" && rate < 10 ? rate.toFixed(1) : amount(Math.round(rate))}/s`);
    if (eta !== undefined && (total === undefined || done < total)) facts.push(`${duration(eta)} left`);
    return ` ${facts.join(GAP)}`;
  }

  #rate(): number {
    const first = this.#samples[0]!;
    const last = this.#samples.at(-1)!;
    return last.at > first.at ? (1000 * (last.done - first.done)) / (last.at - first.at) : 0;
  }
}

/** `work`'s result; the seconds are counted on `terminal` once it takes longer than one. An abort ends the waiting. */
export async function whileWaiting<T>(
  terminal: Terminal,
  label: string,
  signal: AbortSignal,
  work: Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  using progress = new Progress(terminal);
  const start = performance.now();
  // The nearest second: timers may come a little early, and the first tick says 1.
  const tick = () =>
    progress.update({ label, done: Math.round((performance.now() - start) / 1000), unit: "seconds" });
  const timer = setInterval(tick, 1000);
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** Seconds as "42 s", "3:07" or "2:05:00". */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  const clock = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s < 3600 ? clock.replace(/^0/, "") : `${Math.floor(s / 3600)}:${clock}`;
}
