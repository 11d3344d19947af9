import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { Drawer } from "./draw.ts";
import decoding from "./fixtures/decoding.json" with { type: "json" };
import { createSampler } from "./sampling.ts";
import { parseSamplingOptions } from "./sampling-options.ts";
import { TokenHistory } from "./token-history.ts";
import { toyLogits } from "./toy-logits.fixture.ts";

const sampler = (options: object, choice?: number) => createSampler(parseSamplingOptions(options), choice);
const EMPTY = new TokenHistory();

function historyOf({
  seen,
  generated,
}: {
  seen: readonly number[];
  generated: readonly number[];
}): TokenHistory {
  const history = new TokenHistory(seen);
  for (const id of generated) history.add(id);
  return history;
}

/** A generator that goes through the given numbers of [0, 1) again and again. */
class Scripted extends Rng {
  #at = 0;
  constructor(readonly numbers: readonly number[]) {
    super(0);
  }
  override uint32(): number {
    const x = this.numbers[Math.floor(this.#at / 2) % this.numbers.length]! * 2 ** 32;
    return this.#at++ % 2 === 0 ? Math.floor(x) : Math.floor((x % 1) * 2 ** 32);
  }
}

/** How often each id is drawn when the random number goes through the middles of `n` equal parts of [0, 1). */
function sweep(options: object, scores: Float32Array, n: number): Map<number, number> {
  const numbers = Array.from({ length: n }, (_, i) => (i + 0.5) / n);
  const drawer = new Drawer(parseSamplingOptions(options), new Scripted(numbers));
  const counts = new Map<number, number>();
  for (let i = 0; i < n; i++) {
    const id = drawer.draw(scores);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

describe("createSampler", () => {
  describe.each(decoding.distributions.map((c, i) => [i, JSON.stringify(c.options), c] as const))(
    "gives transformers' distribution: %i %s",
    (_, __, c) => {
      const logits = toyLogits(c.prefix, c.vocab);
      const history = historyOf(c);

      test("greedy", () => {
        const chosen = sampler({ ...c.options, temperature: 0 }).next(logits, history);
        expect(chosen.id).toBe(c.greedy);
      });

      test("drawn", () => {
        const DRAWS = 2000;
        const drawn = new Map<number, number>();
        const s = sampler({ ...c.options, seed: 1 });
        for (let i = 0; i < DRAWS; i++) {
          const { id } = s.next(logits, history);
          drawn.set(id, (drawn.get(id) ?? 0) + 1);
        }
        const expected = new Map(Object.entries(c.probabilities).map(([id, p]) => [Number(id), p]));
        for (const id of drawn.keys()) expect(expected.has(id), `token ${id}`).toBe(true);
        // Five standard deviations of each count.
        for (const [id, p] of expected)
          expect(Math.abs((drawn.get(id) ?? 0) - DRAWS * p), `token ${id}`).toBeLessThan(
            1 + 5 * Math.sqrt(DRAWS * p * (1 - p)),
          );
      });

      test("log probabilities are the model's own", () => {
        const { topLogprobs, id, logprob } = sampler({ ...c.options, seed: 3, top_logprobs: 20 }).next(
          logits,
          history,
        );
        const best = Object.entries(c.logprobs).sort(([, a], [, b]) => b - a);
        expect(topLogprobs).toHaveLength(20);
        expect(topLogprobs!.slice(0, 3)).toEqual(
          best.map(([id, p]) => ({ id: Number(id), logprob: expect.closeTo(p, 4) })),
        );
        expect(topLogprobs!.find((t) => t.id === id)?.logprob ?? logprob).toBe(logprob);
      });
    },
  );

  test("the logits are left as they are", () => {
    const logits = toyLogits([1], 40);
    const copy = logits.slice();
    const options = { repetition_penalty: 2, presence_penalty: 1, logit_bias: { 3: 4 }, top_p: 0.5, seed: 1 };
    sampler(options).next(logits, historyOf({ seen: [1], generated: [2] }), { banned: [4] });
    expect(logits).toEqual(copy);
  });

  test("the same seed and choice give the same tokens, others give others", () => {
    const logits = new Float32Array(1000);
    const ids = (options: object, choice?: number) => {
      const s = sampler(options, choice);
      return Array.from({ length: 8 }, () => s.next(logits, EMPTY).id);
    };
    expect(ids({ seed: 7 })).toEqual(ids({ seed: 7 }, 0));
    expect(ids({ seed: 7 }, 1)).toEqual(ids({ seed: 7 }, 1));
    expect(ids({ seed: 7 }, 1)).not.toEqual(ids({ seed: 7 }, 0));
    expect(ids({ seed: 8 })).not.toEqual(ids({ seed: 7 }));
    expect(ids({})).not.toEqual(ids({}));
  });

  test("forbidden tokens are never chosen, and ids beyond the mask are forbidden", () => {
    const logits = Float32Array.from({ length: 70 }, (_, i) => i / 10);
    const mask = new Uint32Array(2);
    for (const id of [3, 31, 32, 40, 63]) mask[id >> 5]! |= 1 << (id & 31);
    const greedy = sampler({ temperature: 0, logit_bias: { 5: 100 } });
    expect(greedy.next(logits, EMPTY).id).toBe(5);
    expect(greedy.next(logits, EMPTY, { mask }).id).toBe(63);
    expect(greedy.next(logits, EMPTY, { mask, banned: [63, 40] }).id).toBe(32);
    const hot = sampler({ temperature: 2, seed: 1 });
    const drawn = new Set(Array.from({ length: 500 }, () => hot.next(logits, EMPTY, { mask }).id));
    expect([...drawn].sort((a, b) => a - b)).toEqual([3, 31, 32, 40, 63]);
  });

  test("logits of minus infinity are never chosen, whatever the filters", () => {
    const logits = new Float32Array(50).fill(-Infinity);
    logits[17] = -3;
    for (const options of [{}, { top_k: 20 }, { top_p: 0.99 }, { min_p: 0 }])
      expect(sampler({ ...options, seed: 1 }).next(logits, EMPTY)).toEqual({ id: 17, logprob: 0 });
  });

  test.each([[{ temperature: 0 }], [{ temperature: 1 }]])("no allowed token is an error: %j", (options) => {
    const next = () => sampler(options).next(new Float32Array(8), EMPTY, { mask: new Uint32Array(1) });
    expect(next).toThrow(RuntimeFailure);
    expect(next).toThrow("no token is allowed");
  });

  test.each([[Number.NaN], [Infinity]])("logits with %d are an error", (bad) => {
    const logits = new Float32Array(8);
    logits[3] = bad;
    expect(() => sampler({}).next(logits, EMPTY)).toThrow(`found ${bad}`);
    expect(() => sampler({}).next(new Float32Array(8).fill(-Infinity), EMPTY)).toThrow(RuntimeFailure);
  });

  test("ids beyond the vocabulary", () => {
    const logits = new Float32Array(8);
    expect(() => sampler({ logit_bias: { 8: 1 } }).next(logits, EMPTY)).toThrow("ids below 8");
    const history = historyOf({ seen: [100], generated: [] });
    expect(sampler({ repetition_penalty: 2, temperature: 0 }).next(logits, history).id).toBe(0);
    history.add(9);
    expect(() => sampler({ presence_penalty: 1 }).next(logits, history)).toThrow(ShapeError);
  });
});

describe("Drawer", () => {
  const exact = decoding.distributions.filter(
    ({ options }) => !Object.keys(options).some((k) => k.includes("penalty") || k === "logit_bias"),
  );

  test.each(exact.map((c) => [JSON.stringify(c.options), c] as const))("exact shares: %s", (_, c) => {
    const shares = sweep(c.options, toyLogits(c.prefix, c.vocab), 4000);
    const expected = Object.entries(c.probabilities);
    for (const [id, p] of expected)
      expect(Math.abs((shares.get(Number(id)) ?? 0) - 4000 * p), `token ${id}`).toBeLessThanOrEqual(1);
    expect([...shares.values()].reduce((a, b) => a + b)).toBe(4000);
  });

  test("of equal scores the lowest ids are kept, exactly as many as top_k says", () => {
    const flat = new Float32Array(10);
    expect(new Set(sweep({ top_k: 3 }, flat, 90).keys())).toEqual(new Set([0, 1, 2]));
    expect(new Set(sweep({ top_p: 0.35 }, flat, 90).keys())).toEqual(new Set([0, 1, 2, 3]));
    expect(sweep({ top_k: 1, temperature: 2 }, flat, 9).get(0)).toBe(9);
    expect(sweep({ top_p: 0 }, flat, 9).get(0)).toBe(9);
    expect(sweep({ min_p: 1 }, flat, 100).size).toBe(10);
  });

  test("too many likely tokens to sort make no difference", () => {
    const flat = new Float32Array(3000);
    flat[2999] = 0.5;
    for (const options of [{ top_k: 1500 }, { top_p: 0.5 }, { min_p: 0.9 }]) {
      const drawn = [...sweep(options, flat, 3200).keys()];
      expect(drawn).toContain(2999);
      const others = drawn.filter((id) => id !== 2999);
      const kept = "top_k" in options ? 1499 : "top_p" in options ? 1499 : 0;
      expect(others).toHaveLength(kept);
      expect(Math.max(-1, ...others)).toBe(kept - 1);
    }
  });

  test("a temperature near 0 is greedy, not NaN", () => {
    const scores = Float32Array.from([1, 3, 2.999]);
    expect(sweep({ temperature: 5e-324 }, scores, 9).get(1)).toBe(9);
    expect(sweep({ temperature: 5e-324, top_p: 0.5, min_p: 0.1 }, scores, 9).get(1)).toBe(9);
  });

  // The plain way: sort everything, keep a prefix.
  test("keeps the tokens that a full sort keeps", () => {
    const score = fc.oneof(
      fc.integer({ min: -12, max: 12 }).map((x) => x / 2),
      fc.float({ min: -60, max: 60, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.array(score, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: 70 }),
        fc.constantFrom(0.1, 0.37, 0.47, 0.89, 0.993, 1),
        fc.constantFrom(0, 0.013, 0.3),
        fc.constantFrom(0.2, 1, 1.7),
        (values, top_k, top_p, min_p, temperature) => {
          const scores = Float32Array.from(values);
          const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
          const weight = (id: number) => Math.exp((scores[id]! - scores[order[0]!]!) / temperature);
          const first = top_k === 0 ? order : order.slice(0, top_k);
          const total = first.reduce((sum, id) => sum + weight(id), 0);
          let before = 0;
          const kept = first.filter((id) => {
            const keep = before < top_p * total * (1 - 1e-12);
            before += weight(id);
            return keep && weight(id) >= min_p;
          });
          const drawn = sweep({ top_k, top_p, min_p, temperature }, scores, 300);
          const mass = kept.reduce((sum, id) => sum + weight(id), 0);
          for (const id of drawn.keys()) expect(kept).toContain(id);
          for (const id of kept) if (weight(id) / mass > 1 / 200) expect(drawn.has(id)).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("parseSamplingOptions", () => {
  test("without options tokens are drawn from the model's distribution", () => {
    expect(parseSamplingOptions({})).toEqual({
      ...{ temperature: 1, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, presence_penalty: 0 },
      ...{ frequency_penalty: 0, logit_bias: {}, top_logprobs: 0 },
    });
  });

  test.each([
    ["temperature", 2.5],
    ["temperature", Number.NaN],
    ["top_k", -1],
    ["top_p", 1.1],
    ["min_p", -0.1],
    ["repetition_penalty", 0],
    ["presence_penalty", 3],
    ["frequency_penalty", -3],
    ["logit_bias", { 5: 101 }],
    ["logit_bias", { x: 1 }],
    ["logit_bias", Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1]))],
    ["top_logprobs", 21],
    ["seed", 0.5],
    ["colour", "red"],
  ])("refuses %s of %o and names it", (field, value) => {
    const parse = () => parseSamplingOptions({ [field]: value }, "request");
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(new RegExp(`^request: [\\s\\S]*${field}`));
  });
});
