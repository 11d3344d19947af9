/** What a language model makes of a text. */
export interface Scores {
  /** The likeliest next token at each position. */
  readonly likeliest: readonly number[];
  /** How unlikely each token but the first was, in nats. */
  readonly nats: readonly number[];
}

/** Scores from the logits [L, V] at the positions of `ids`. */
export function score(logits: Float32Array, V: number, ids: readonly number[]): Scores {
  const likeliest: number[] = [];
  const nats: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const row = logits.subarray(i * V, (i + 1) * V);
    let best = 0;
    for (let v = 1; v < V; v++) if (row[v]! > row[best]!) best = v;
    likeliest.push(best);
    if (i + 1 === ids.length) break;
    let sum = 0;
    for (let v = 0; v < V; v++) sum += Math.exp(row[v]! - row[best]!);
    nats.push(row[best]! + Math.log(sum) - row[ids[i + 1]!]!);
  }
  return { likeliest, nats };
}

/** Share of the positions of all texts at which both find the same token likeliest. */
export function agreement(a: readonly Scores[], b: readonly Scores[]): number {
  const same = a.flatMap(({ likeliest }, t) => likeliest.map((id, i) => id === b[t]!.likeliest[i]));
  return same.filter(Boolean).length / same.length;
}

/** Perplexity over all tokens but the first of each text. */
export function perplexity(scores: readonly Scores[]): number {
  const nats = scores.flatMap((s) => s.nats);
  return Math.exp(nats.reduce((sum, n) => sum + n, 0) / nats.length);
}
