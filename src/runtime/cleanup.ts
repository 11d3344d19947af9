/** What is to be undone when a scope ends, last first. (Node 20 has `using`, but no DisposableStack.) */
export class Cleanup implements Disposable {
  readonly #undo: (() => void)[] = [];

  /** Disposes of `resource` when the scope ends; returns it. */
  use<T extends Disposable>(resource: T): T {
    this.defer(() => resource[Symbol.dispose]());
    return resource;
  }

  defer(undo: () => void): void {
    this.#undo.push(undo);
  }

  [Symbol.dispose](): void {
    while (this.#undo.length > 0) this.#undo.pop()!();
  }
}
