import { MediaError } from "../core/errors.ts";

/** When to stop: checked between the steps of long work, none of which takes long by itself. */
export class Deadline {
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #ends: number;

  constructor(name: string, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    this.#ends = performance.now() + timeoutMs;
  }

  /** Throws the signal's reason once it is aborted, and a MediaError once the time is over. */
  check(): void {
    this.#signal?.throwIfAborted();
    if (performance.now() > this.#ends)
      throw new MediaError(
        `${this.#name}: expected to be read within ${this.#timeoutMs} ms, found it still going; take fewer frames, shorten the video or raise timeoutMs`,
      );
  }
}
