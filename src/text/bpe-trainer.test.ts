import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { trainBpe } from "./bpe-trainer.ts";
import { preTokenizer } from "./pre-tokens.ts";
import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import {
  parseSentencePieceModel,
  type SentencePieceModel,
  writeSentencePieceModel,
} from "./sentencepiece-model.ts";

const captions: [string, number][] = [
  ["a red panda on a tree", 5],
  ["the red cat and the red dog", 3],
  ["一只红色的熊猫", 4],
  ["红色的猫", 2],
  ["赤いパンダ", 2],
  ["красная панда 2024", 3],
  ["एक लाल पांडा", 2],
];
const normal = (m: SentencePieceModel) => m.pieces.filter((p) => p.type === "normal");
const names = (m: SentencePieceModel) => normal(m).map((p) => p.piece);

/** Training without any bookkeeping: count all pairs anew before each merge. */
function plainMerges(texts: readonly (readonly [string, number])[], count: number): string[] {
  const words: { symbols: string[]; weight: number }[] = [];
  const cut = preTokenizer(16);
  for (const [text, weight] of texts) cut(text, (w) => words.push({ symbols: Array.from(w), weight }));
  const merges: string[] = [];
  while (merges.length < count) {
    const counts = new Map<string, number>();
    for (const { symbols, weight } of words)
      for (let i = 0; i + 1 < symbols.length; i++) {
        const key = `${symbols[i]} ${symbols[i + 1]}`;
        counts.set(key, (counts.get(key) ?? 0) + weight);
      }
    const best = Math.max(0, ...counts.values());
    const winners = [...counts].filter(([, n]) => n === best);
    if (best < 2 || winners.length > 1) break; // ties may go either way
    const [left, right] = winners[0]![0].split(" ") as [string, string];
    if (!merges.includes(left + right)) merges.push(left + right);
    for (const { symbols } of words)
      for (let i = 0; i + 1 < symbols.length; i++)
        if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, left + right);
  }
  return merges;
}

describe("trainBpe", () => {
  it("lays the vocabulary out as LLaMA's", () => {
    const model = trainBpe(captions, { vocabSize: 340, characterCoverage: 1 });
    expect(model.pieces.slice(0, 4).map((p) => p.piece)).toEqual(["<unk>", "<s>", "</s>", "<0x00>"]);
    expect(model.pieces[258]!.piece).toBe("<0xFF>");
    expect(model.pieces.length).toBeLessThanOrEqual(340);
    expect(normal(model).map((p) => -p.score)).toEqual(normal(model).map((_, i) => i));
    const lengths = names(model).map((p) => Array.from(p).length);
    const characters = new Set(captions.map(([t]) => t.replaceAll(" ", "")).join("")).size + 1;
    expect(lengths.filter((n) => n === 1)).toHaveLength(characters);
    expect(lengths.slice(-characters).every((n) => n === 1)).toBe(true);
    expect(model).toMatchObject({ byteFallback: true, addDummyPrefix: true, removeExtraWhitespaces: false });
  });

  it("merges the most frequent pair first, weighted by the counts", () => {
    const trained = (ab: number, cd: number) =>
      names(trainBpe(Object.entries({ ab, cd }), { vocabSize: 259 + 5 + 2, characterCoverage: 1 }));
    expect(trained(3, 2)).toEqual(["▁a", "▁ab", "▁", "a", "b", "c", "d"]);
    expect(trained(3, 9)).toEqual(["▁c", "▁cd", "▁", "c", "d", "a", "b"]);
  });

  it("agrees with counting every pair anew before each merge", () => {
    const word = fc.string({ unit: fc.constantFrom(..."abcde 猫犬"), minLength: 1, maxLength: 12 });
    const corpus = fc.array(fc.tuple(word, fc.integer({ min: 1, max: 997 })), { minLength: 1, maxLength: 8 });
    let compared = 0;
    fc.assert(
      fc.property(corpus, (texts) => {
        const expected = plainMerges(texts, 20);
        compared += expected.length;
        expect(names(trainBpe(texts, { vocabSize: 300 })).slice(0, expected.length)).toEqual(expected);
      }),
      { numRuns: 300, seed: 3 },
    );
    expect(compared).toBeGreaterThan(300);
  });

  it("does not depend on the order or the splitting of the counts, and gives the same bytes", () => {
    const bytes = (texts: Iterable<readonly [string, number]>) =>
      writeSentencePieceModel(trainBpe(texts, { vocabSize: 360 }));
    const reference = bytes(captions);
    expect(bytes(new Map(captions))).toEqual(reference);
    const split = captions.flatMap(([t, n]): [string, number][] => [
      [t, 1],
      [t, n - 1],
    ]);
    fc.assert(
      fc.property(fc.shuffledSubarray(split, { minLength: split.length }), (shuffled) => {
        expect(bytes(shuffled)).toEqual(reference);
      }),
      { numRuns: 20 },
    );
  });

  it("makes models that survive their file and decode any text to itself", () => {
    const model = trainBpe(captions, { vocabSize: 360 });
    const bpe = new SentencePieceBpe(parseSentencePieceModel(writeSentencePieceModel(model)));
    expect(bpe.model).toEqual(model);
    const text = fc.array(
      fc.oneof(fc.constantFrom(...captions.map(([t]) => t)), fc.string({ unit: "binary" })),
    );
    fc.assert(
      fc.property(text, (parts) => {
        const t = parts.join(" ").replaceAll("▁", "_");
        expect(bpe.decode(bpe.encode(t))).toBe(t);
      }),
      { numRuns: 50 },
    );
    expect(bpe.encode("a red panda").length).toBeLessThan(8);
  });

  it("never merges across words, digits, scripts or lengths", () => {
    const texts: [string, number][] = [["a b1 22 T恤 猫猫猫猫", 100]];
    const all = names(trainBpe(texts, { vocabSize: 300, maxPieceLength: 3 }));
    expect(all).toContain("▁b");
    expect(all).toContain("▁猫猫");
    for (const piece of all) {
      expect(piece).not.toMatch(/.▁|.\d|\d.|T恤/);
      expect(Array.from(piece).length).toBeLessThanOrEqual(3);
    }
  });

  it("leaves rare characters, tabs and newlines to the bytes", () => {
    const texts: [string, number][] = [
      ["aaaaaaaaa", 100],
      ["é\t\n", 1],
    ];
    expect(names(trainBpe(texts, { vocabSize: 300, characterCoverage: 0.99 }))).not.toContain("é");
    const all = names(trainBpe(texts, { vocabSize: 300, characterCoverage: 1 }));
    expect(all).toContain("é");
    expect(all.join("")).not.toMatch(/[\t\n]/);
  });

  it("stops when nothing occurs twice", () => {
    expect(names(trainBpe([["ab", 1]], { vocabSize: 300, characterCoverage: 1 }))).toEqual(["▁", "a", "b"]);
    expect(names(trainBpe([]))).toEqual(["▁"]);
  });

  it("refuses impossible options and counts", () => {
    const options = { vocabSize: 10, characterCoverage: 0, maxPieceLength: 0.5 };
    expect(() => trainBpe(captions, options)).toThrow(ConfigError);
    expect(() => trainBpe(captions, options)).toThrow(
      /vocabSize is 10.*characterCoverage is 0.*maxPieceLength is 0\.5/,
    );
    expect(() => trainBpe(captions, { vocabSize: 262 })).toThrow(/characters are needed.*leaves room for 3/);
    expect(() => trainBpe([["a", 0.5]])).toThrow(/the count of "a" is 0\.5/);
    expect(() => trainBpe([["a", -1]])).toThrow(ConfigError);
  });
});
