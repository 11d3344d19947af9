/** Work that disposal must wait for, whatever becomes of it. */
export class InFlight {
  readonly #work = new Set<Promise<unknown>>();

  /** Remembers `work` until it settles; returns it. */
  track<T>(work: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = work.catch(() => {}).finally(() => this.#work.delete(settled));
    this.#work.add(settled);
    return work;
  }

  /** Resolves when all that is under way now has settled. */
  async settled(): Promise<void> {
    await Promise.all(this.#work);
  }
}
