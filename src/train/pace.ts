/** Steps over which the speed is measured. */
const WINDOW = 20;

/** Speed over the last steps, and the time left at that speed. */
export class Pace {
  readonly #times: { step: number; at: number }[];

  constructor(
    start: number,
    readonly total: number,
    readonly batch: number,
  ) {
    this.#times = [{ step: start, at: performance.now() }];
  }

  after(step: number): { imagesPerSecond: number; etaSeconds: number } {
    this.#times.push({ step, at: performance.now() });
    if (this.#times.length > WINDOW) this.#times.shift();
    const first = this.#times[0]!;
    const last = this.#times.at(-1)!;
    const secondsPerStep = (last.at - first.at) / 1000 / (last.step - first.step);
    return { imagesPerSecond: this.batch / secondsPerStep, etaSeconds: (this.total - step) * secondsPerStep };
  }
}
