/**
 * A seeded random generator that is an argument, never a global: forked by name, so that adding one user does
 * not shift another's numbers. Algorithm: xoshiro128** seeded by hashing the path of names (FNV-1a, splitmix32).
 */
export class Rng {
  readonly #state = new Uint32Array(4);

  constructor(readonly seed: string | number) {
    let h = 0x811c9dc5;
    for (const c of String(seed)) h = Math.imul(h ^ c.codePointAt(0)!, 0x01000193) >>> 0;
    for (let i = 0; i < 4; i++) {
      h = (h + 0x9e3779b9) >>> 0;
      let z = h;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.#state[i] = (z ^ (z >>> 15)) >>> 0;
    }
  }

  /** An independent generator; the same name gives the same numbers, whatever was drawn from this one. */
  fork(name: string | number): Rng {
    return new Rng(`${this.seed}/${name}`);
  }

  /** A uniform 32-bit integer. */
  uint32(): number {
    const s = this.#state;
    const r = Math.imul(s[1]!, 5);
    const result = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** Uniform in [0, 1), 24 bits: exact in f32. */
  uniform(): number {
    return (this.uint32() >>> 8) * 2 ** -24;
  }

  /** A uniform integer in [0, n). */
  int(n: number): number {
    return Math.floor(((this.uint32() >>> 0) / 2 ** 32) * n);
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    const r = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return r * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Shuffles in place (Fisher-Yates) and returns the array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items;
  }
}
