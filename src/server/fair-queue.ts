import { HttpError } from "./http-error.ts";

/** A place among those that are served; dispose of it to let the next one in. */
export type Turn = Disposable;

interface Waiter {
  readonly places: number;
  readonly start: () => void;
  readonly refuse: (error: unknown) => void;
}

/** Before anything was served: a guess, for `Retry-After`. */
const FIRST_GUESS_MS = 1000;

/** How much the latest turn counts in the mean. */
const SMOOTHING = 0.2;

const MAX_RETRY_S = 600;

/**
 * Serves a few at a time. Those that wait go in order of arrival, but clients take turns: one with many requests does
 * not keep the others waiting. A request that takes several places waits until they are free, and those behind it wait
 * with it. When the queue is full, a client that has fewer requests in it than another takes the place of that one's
 * latest; beyond that a 429 says when to come back.
 */
export class FairQueue {
  #running = 0;
  #size = 0;
  #meanMs = FIRST_GUESS_MS;
  /** Clients in the order of their turns, each with its requests. */
  readonly #clients = new Map<string, Waiter[]>();
  #idle: (() => void)[] = [];

  constructor(
    readonly concurrent: number,
    readonly bound: number,
  ) {}

  /** Places that are taken. */
  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#size;
  }

  /** Throws a 429 when a request of this client would be refused: before work is done for it. */
  check(client: string): void {
    const waits = this.#size > 0 || this.#running >= this.concurrent;
    if (waits && this.#size >= this.bound && !this.#crowder(client)) throw this.#full();
  }

  /**
   * Resolves when it is the turn of this request, which takes so many places, or all if it asks for more. Rejects with a
   * 429, or with the signal's reason.
   */
  async enter(client: string, signal: AbortSignal, asked = 1): Promise<Turn> {
    signal.throwIfAborted();
    const places = Math.min(asked, this.concurrent);
    if (this.#size === 0 && this.#running + places <= this.concurrent) this.#running += places;
    else await this.#wait(client, signal, places);
    return this.#turn(places);
  }

  /** Resolves when nothing is served and nothing waits. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #turn(places: number): Turn {
    const started = performance.now();
    let over = false;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#meanMs += SMOOTHING * (performance.now() - started - this.#meanMs);
        this.#running -= places;
        this.#admit();
      },
    };
  }

  /** Lets in those that come next, as many as there are places for. */
  #admit(): void {
    for (;;) {
      const [client, waiters] = this.#clients.entries().next().value ?? [];
      if (client === undefined || waiters === undefined) break;
      if (this.#running + waiters[0]!.places > this.concurrent) break;
      // To the end of the order: the others come first now.
      this.#clients.delete(client);
      if (waiters.length > 1) this.#clients.set(client, waiters);
      this.#size--;
      const { places, start } = waiters.shift()!;
      this.#running += places;
      start();
    }
    if (this.#running > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  #wait(client: string, signal: AbortSignal, places: number): Promise<void> {
    this.#makeRoom(client);
    return new Promise((resolve, reject) => {
      const settle = () => signal.removeEventListener("abort", leave);
      const waiter: Waiter = {
        places,
        start: () => {
          settle();
          resolve();
        },
        refuse: (error) => {
          settle();
          this.#remove(client, waiter);
          reject(error);
        },
      };
      const leave = () => {
        waiter.refuse(signal.reason);
        // Those behind it may need fewer places.
        this.#admit();
      };
      signal.addEventListener("abort", leave, { once: true });
      const waiters = this.#clients.get(client);
      if (waiters) waiters.push(waiter);
      else this.#clients.set(client, [waiter]);
      this.#size++;
    });
  }

  #remove(client: string, waiter: Waiter): void {
    const waiters = this.#clients.get(client)!;
    waiters.splice(waiters.indexOf(waiter), 1);
    if (waiters.length === 0) this.#clients.delete(client);
    this.#size--;
  }

  #makeRoom(client: string): void {
    if (this.#size < this.bound) return;
    const crowder = this.#crowder(client);
    if (!crowder) throw this.#full();
    crowder.at(-1)!.refuse(this.#full());
  }

  /** The requests of the client that has most, if these are so many that `client` would have fewer with one more. */
  #crowder(client: string): Waiter[] | undefined {
    const own = this.#clients.get(client)?.length ?? 0;
    let most: Waiter[] | undefined;
    for (const waiters of this.#clients.values())
      if (waiters.length > (most?.length ?? own + 1)) most = waiters;
    return most;
  }

  #full(): HttpError {
    const seconds = Math.ceil((this.#meanMs * (this.#size + 1)) / this.concurrent / 1000);
    const retry = Math.min(MAX_RETRY_S, Math.max(1, seconds));
    return new HttpError(
      429,
      `${this.#size} requests are waiting for this model already; try again in about ${retry} seconds`,
      { "Retry-After": String(retry) },
    );
  }
}
