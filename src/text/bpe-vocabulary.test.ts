import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../core/errors.ts";
import { type BpeOptions, BpeVocabulary } from "./bpe-vocabulary.ts";

/** A vocabulary of single letters and what the merges make. */
function bpe(
  merges: readonly string[],
  options: BpeOptions = {},
  more: readonly string[] = [],
): BpeVocabulary {
  const tokens = new Set([..."abc", ...more, ...merges.map((m) => m.replace(" ", ""))]);
  return new BpeVocabulary(
    [...tokens].map((t, i) => [t, i] as const),
    merges,
    options,
    "test",
  );
}
const spelled = (v: BpeVocabulary, word: string) => v.encode(word).map((id) => v.tokens[id]);

/** The plain procedure: the earliest merge that fits anywhere, at its leftmost place, until none fits. */
function reference(merges: readonly string[], word: string): string[] {
  const symbols = Array.from(word);
  for (;;) {
    const pairs = symbols.slice(1).map((right, i) => merges.indexOf(`${symbols[i]} ${right}`));
    const best = Math.min(...pairs.filter((rank) => rank >= 0));
    if (!Number.isFinite(best)) return symbols;
    const at = pairs.indexOf(best);
    symbols.splice(at, 2, symbols[at]! + symbols[at + 1]!);
  }
}

describe("BpeVocabulary", () => {
  it("merges as the plain procedure does, first and kept", () => {
    const half = fc.string({ unit: fc.constantFrom(..."abc"), minLength: 1, maxLength: 3 });
    const merges = fc.uniqueArray(
      fc.tuple(half, half).map((pair) => pair.join(" ")),
      { maxLength: 25 },
    );
    const words = fc.array(fc.string({ unit: fc.constantFrom(..."abc"), minLength: 1, maxLength: 40 }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(merges, words, (m, w) => {
        const v = bpe(m);
        for (const word of [...w, ...w]) expect(spelled(v, word)).toEqual(reference(m, word));
      }),
      { numRuns: 500 },
    );
  });

  it("tells apart pairs that make the same token", () => {
    expect(spelled(bpe(["b c", "a bc"]), "abc")).toEqual(["abc"]);
    expect(spelled(bpe(["a b", "a bc"]), "abc")).toEqual(["ab", "c"]);
    expect(spelled(bpe(["a b", "a bc", "ab c"]), "abc")).toEqual(["abc"]);
  });

  it("takes a whole word first where merges are to be ignored", () => {
    expect(spelled(bpe(["a b"], {}, ["abc"]), "abc")).toEqual(["ab", "c"]);
    expect(spelled(bpe(["a b"], { ignoreMerges: true }, ["abc"]), "abc")).toEqual(["abc"]);
  });

  it("writes what it does not know as bytes, as the unknown token, or not at all", () => {
    const bytes = ["<0xC3>", "<0xA9>", "<unk>"];
    expect(spelled(bpe([], { byteFallback: true, unk: "<unk>" }, bytes), "aé猫b")).toEqual([
      "a",
      "<0xC3>",
      "<0xA9>",
      "<unk>",
      "b",
    ]);
    expect(spelled(bpe([], { unk: "<unk>" }, bytes), "a猫猫")).toEqual(["a", "<unk>", "<unk>"]);
    expect(spelled(bpe([], { unk: "<unk>", fuseUnk: true }, bytes), "a猫猫")).toEqual(["a", "<unk>"]);
    expect(spelled(bpe(["a b"]), "a😀b猫")).toEqual(["ab"]);
  });

  it("keeps words longer than V8 copies apart from each other", () => {
    const v = bpe(["a b"]);
    for (const n of [5, 12, 13, 32, 33, 100])
      expect(spelled(v, "ab".repeat(n))).toEqual(new Array(n).fill("ab"));
  });

  it.each([
    [
      [
        ["a", 0],
        ["b", 0],
      ],
      [],
      {},
      '"a" and "b" have the same id 0',
    ],
    [[["a", 0]], ["a"], {}, 'merge 0 is "a", expected two tokens'],
    [[["a", 0]], [["a", "a", "a"]], {}, "expected two tokens"],
    [[["a", 0]], ["a a"], {}, 'merge 0 makes "aa", which is not in it'],
    [[["a", 0]], [], { unk: "?" }, 'its unk_token "?" is not in it'],
  ] as [[string, number][], (string | string[])[], BpeOptions, string][])(
    "refuses %j with merges %j",
    (vocab, merges, options, message) => {
      expect(() => new BpeVocabulary(vocab, merges, options, "file")).toThrow(CheckpointError);
      expect(() => new BpeVocabulary(vocab, merges, options, "file")).toThrow(
        `file: not a usable BPE vocabulary: `,
      );
      expect(() => new BpeVocabulary(vocab, merges, options, "file")).toThrow(message);
    },
  );
});
