/** Which tokens a text holds so far: what penalties look at. Costs grow with distinct tokens, not with the length. */
export class TokenHistory {
  readonly #seen: Set<number>;
  readonly #counts = new Map<number, number>();

  /**
   * `seen` are ids that the repetition penalty counts from the start: the prompt's where the model is given the prompt
   * as ids, none where it is given as embeddings.
   */
  constructor(seen: Iterable<number> = []) {
    this.#seen = new Set(seen);
  }

  /** Adds a generated token. */
  add(id: number): void {
    this.#seen.add(id);
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
  }

  /** All ids, each once. */
  get seen(): ReadonlySet<number> {
    return this.#seen;
  }

  /** How often each generated id was generated. */
  get counts(): ReadonlyMap<number, number> {
    return this.#counts;
  }
}
