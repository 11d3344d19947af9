import { at, build, type Nd } from "./nd.ts";

interface Attrs {
  readonly heads: number;
  readonly groups: number;
  readonly scale: number;
  readonly window?: number;
  readonly isRotated?: boolean;
  readonly isPacked?: boolean;
}

/** Columns [from, to) of rows [B, L, ..]. */
const columns = (t: Nd, from: number, to: number): Nd =>
  build([t.shape[0]!, t.shape[1]!, to - from], ([b, l, c]) => at(t, [b!, l!, from + c!]));

/** Attention over a cache, position by position and from its definition; y only. */
export function cachedAttention(x: readonly Nd[], attrs: Attrs): Nd {
  const { heads, groups, scale, window, isRotated, isPacked } = attrs;
  if (isPacked) {
    const [qkv, ...rest] = x as [Nd, Nd, ...Nd[]];
    const d = rest[0].shape[3]!;
    const ends = [0, heads * d, (heads + groups) * d, (heads + 2 * groups) * d];
    const parts = [0, 1, 2].map((i) => columns(qkv, ends[i]!, ends[i + 1]!));
    return cachedAttention([...parts, ...rest], { ...attrs, isPacked: false });
  }
  const [q, k, v, keys, values, last, , cos, sin, sinks] = x as [Nd, Nd, Nd, Nd, Nd, Nd, Nd, Nd, Nd, Nd?];
  const [B, L] = q.shape as [number, number];
  const d = keys.shape[3]!;
  const half = d / 2;
  const rotated = (t: Nd, b: number, l: number, h: number, position: number): number[] =>
    Array.from({ length: d }, (_, c) => {
      if (isRotated) return at(t, [b, l, h * d + c]);
      const i = c % half;
      const [a, z] = [at(t, [b, l, h * d + i]), at(t, [b, l, h * d + i + half])];
      const [co, si] = [at(cos, [position, i]), at(sin, [position, i])];
      return c < half ? a * co - z * si : z * co + a * si;
    });
  return build([B, L, heads * d], ([b, l, column]) => {
    const [h, c] = [Math.floor(column! / d), column! % d];
    const g = Math.floor(h / (heads / groups));
    const first = last.data[b!]! + 1 - L; // position of the first new one
    const position = first + l!;
    const query = rotated(q, b!, l!, h, position);
    const from = window === undefined ? 0 : Math.max(0, position - window + 1);
    const scores: number[] = [];
    const seen: number[] = [];
    for (let p = from; p <= position; p++) {
      const key =
        p < first
          ? Array.from({ length: d }, (_, i) => at(keys, [b!, g, p, i]))
          : rotated(k, b!, p - first, g, p);
      scores.push(scale * key.reduce((sum, value, i) => sum + value * query[i]!, 0));
      seen.push(p < first ? at(values, [b!, g, p, c]) : at(v, [b!, p - first, g * d + c]));
    }
    const weights = [...scores, ...(sinks ? [at(sinks, [h])] : [])].map(Math.exp);
    const total = weights.reduce((sum, w) => sum + w, 0);
    return seen.reduce((sum, value, i) => sum + (weights[i]! / total) * value, 0);
  });
}
