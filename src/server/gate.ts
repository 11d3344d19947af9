import { Gate as Turns } from "../runtime/gate.ts";
import { HttpError } from "./http-error.ts";

/** Lets a few tasks run at once and a bounded number wait in order; more are refused with a 429. */
export class Gate {
  readonly #turns: Turns;
  /** Tasks that run or wait. */
  #inside = 0;

  constructor(
    readonly concurrent: number,
    readonly waiting: number,
  ) {
    this.#turns = new Turns(concurrent);
  }

  /** Runs `task` when its turn comes; a task whose signal aborts while it waits never starts. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#inside >= this.concurrent + this.waiting)
      throw new HttpError(429, `${this.waiting} requests are waiting already; try again in a moment`, {
        "Retry-After": "1",
      });
    this.#inside++;
    try {
      return await this.#turns.run(task, signal);
    } finally {
      this.#inside--;
    }
  }
}
