import { HttpError } from "./http-error.ts";

/** Lets a few tasks run at once and a bounded number wait in order; more are refused with a 429. */
export class Gate {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(
    readonly concurrent: number,
    readonly waiting: number,
  ) {}

  /** Runs `task` when its turn comes; a task whose signal aborts while it waits never starts. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#running >= this.concurrent) await this.#turn(signal);
    else this.#running++;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  /** Resolves when a running task hands its place over. */
  #turn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.waiting)
      throw new HttpError(429, `${this.waiting} requests are waiting already; try again in a moment`, {
        "Retry-After": "1",
      });
    return new Promise((resolve, reject) => {
      const start = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(start), 1);
        reject(signal.reason);
      };
      this.#waiting.push(start);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
