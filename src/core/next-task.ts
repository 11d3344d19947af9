/** Lets other work have the thread: resolves after what is waiting for it now. */
export const nextTask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Work in small steps may have the thread for so long. */
const SLICE_MS = 5;

/** Gives the thread away between the steps of a long computation, as often as needed and no oftener. */
export class Slices {
  #since = performance.now();

  /** To be awaited between two steps. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since < SLICE_MS) return;
    await nextTask();
    this.#since = performance.now();
  }
}
