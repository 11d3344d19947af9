/** Things to release in reverse order. */
export class AsyncDisposables {
  readonly #owned: (AsyncDisposable | Disposable)[] = [];

  own<T extends AsyncDisposable | Disposable>(value: T): T {
    this.#owned.push(value);
    return value;
  }

  /**
   * Releases everything, whatever fails on the way. Throws what failed: the error itself where it is one, an
   * AggregateError of all where there are several.
   */
  async dispose(): Promise<void> {
    const failures: unknown[] = [];
    for (const value of this.#owned.splice(0).reverse())
      try {
        if (Symbol.asyncDispose in value) await value[Symbol.asyncDispose]();
        else value[Symbol.dispose]();
      } catch (failure) {
        failures.push(failure);
      }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1)
      throw new AggregateError(
        failures,
        `${failures.length} things could not be released: ${failures.map(String).join("; ")}`,
      );
  }
}
