import { describe, expect, test } from "vitest";
import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import { BeamSearch } from "./beam-search.ts";
import decoding from "./fixtures/decoding.json" with { type: "json" };
import { toyLogits } from "./toy-logits.fixture.ts";

type Case = (typeof decoding.beams)[number];

/** Runs a search to its end with the toy model. */
function run({ prompt, vocab, eos, eos_bias, options }: Case): { search: BeamSearch; texts: number[][] } {
  const search = new BeamSearch(options, { eosIds: eos, seen: prompt });
  let texts: number[][] = [[]];
  while (!search.done) {
    expect(search.width).toBe(texts.length);
    const rows = texts.map((ids) => toyLogits([...prompt, ...ids], vocab, eos, eos_bias));
    const before = rows.map((row) => row.slice());
    const { parents, tokens } = search.advance(rows);
    expect(rows).toEqual(before);
    texts = parents.map((parent, i) => [...texts[parent]!, tokens[i]!]);
  }
  return { search, texts };
}

describe("BeamSearch", () => {
  test.each(decoding.beams.map((c, i) => [i, JSON.stringify(c.options), c] as const))(
    "finds what transformers finds: %i %s",
    (_, __, c) => {
      const { search } = run(c);
      expect(search.results().map((r) => r.ids)).toEqual(c.results.map((r) => r.ids));
      for (const [i, { score }] of c.results.entries())
        expect(search.results()[i]!.score).toBeCloseTo(score, 4);
      expect(search.best()).toEqual(search.results()[0]);
    },
  );

  test("no text ends before min_new_tokens, and none is longer than max_new_tokens", () => {
    const base = decoding.beams[0]!;
    const { search } = run({ ...base, options: { num_beams: 3, max_new_tokens: 12, min_new_tokens: 12 } });
    for (const { ids } of search.results()) {
      expect(ids).toHaveLength(12);
      expect(ids).not.toContain(1);
    }
  });

  test("before anything is finished, the best is the best beam", () => {
    const search = new BeamSearch({ num_beams: 2, max_new_tokens: 5, min_new_tokens: 5 }, { eosIds: [0] });
    const row = Float32Array.from([9, 1, 3, 2]);
    const { parents, tokens } = search.advance([row]);
    expect({ parents, tokens }).toEqual({ parents: [0, 0], tokens: [2, 3] });
    expect(search.results()).toEqual([]);
    const total = Math.log(Math.exp(9) + Math.exp(1) + Math.exp(3) + Math.exp(2));
    expect(search.best()).toEqual({ ids: [2], score: expect.closeTo(3 - total, 5) });
  });

  test("equal scores go by beam, then by id", () => {
    const search = new BeamSearch({ num_beams: 2, max_new_tokens: 5 }, { eosIds: [5] });
    const flat = new Float32Array(6);
    expect(search.advance([flat])).toEqual({ parents: [0, 0], tokens: [0, 1] });
    expect(search.advance([flat, flat])).toEqual({ parents: [0, 0], tokens: [0, 1] });
  });

  test("refuses wrong options, all at once", () => {
    const make = () => new BeamSearch({ num_beams: 1, max_new_tokens: 0 }, { eosIds: [1] });
    expect(make).toThrow(UsageError);
    expect(make).toThrow(/num_beams[\s\S]*max_new_tokens|max_new_tokens[\s\S]*num_beams/);
    expect(
      () => new BeamSearch({ num_beams: 2, max_new_tokens: 3, min_new_tokens: 4 }, { eosIds: [] }),
    ).toThrow("at most max_new_tokens");
  });

  test("refuses rows that do not fit and steps after the end", () => {
    const search = new BeamSearch({ num_beams: 2, max_new_tokens: 2 }, { eosIds: [1] });
    const row = new Float32Array(8);
    expect(() => search.advance([row, row])).toThrow(ShapeError);
    expect(() => search.advance([new Float32Array(3)])).toThrow("at least 4 tokens, found 3");
    expect(() => search.advance([row.map(() => Number.NaN)])).toThrow(RuntimeFailure);
    search.advance([row]);
    expect(() => search.advance([row, new Float32Array(9)])).toThrow(ShapeError);
    search.advance([row, row]);
    expect(search.done).toBe(true);
    expect(() => search.advance([row, row])).toThrow("after the search was done");
  });
});
