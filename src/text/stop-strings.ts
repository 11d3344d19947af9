import { UsageError } from "../core/errors.ts";

/** What a chunk of text settles. */
export interface Settled {
  /** Text that is before every stop string, to be shown now. */
  readonly text: string;
  /** The stop string that was found; nothing after it is ever given out. */
  readonly stop: string | undefined;
}

/**
 * Finds the first stop string of a text that comes in chunks, however these cut it: the one that ends first, the longest
 * of those that end there. Only what may still become a stop string is held back.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = "";
  #stopped = false;

  /** Throws UsageError for an empty stop string. No stop strings at all let everything through. */
  constructor(stops: readonly string[]) {
    if (stops.includes(""))
      throw new UsageError("stop strings: one of them is empty, which every text contains; leave it out");
    this.#stops = [...new Set(stops)].sort((a, b) => b.length - a.length);
    this.#longest = this.#stops[0]?.length ?? 0;
  }

  /** Takes the next chunk. Throws UsageError once a stop string has been found. */
  push(chunk: string): Settled {
    if (this.#stopped)
      throw new UsageError("stop strings: the text has ended at a stop string; begin with a new one");
    const text = this.#held + chunk;
    const found = this.#firstIn(text);
    if (found !== undefined) {
      this.#stopped = true;
      this.#held = "";
      return { text: text.slice(0, found.start), stop: found.stop };
    }
    const keep = this.#beginning(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stop: undefined };
  }

  /** The text has ended: what was held back became no stop string. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  #firstIn(text: string): { start: number; stop: string } | undefined {
    let first: { start: number; stop: string } | undefined;
    let firstEnd = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0 || start + stop.length >= firstEnd) continue;
      first = { start, stop };
      firstEnd = start + stop.length;
    }
    return first;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #beginning(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
