import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import { bytePiece, MODEL_DEFAULTS, type Piece, type PieceType } from "./sentencepiece-model.ts";

const META: Piece[] = [
  { piece: "<unk>", score: 0, type: "unknown" },
  { piece: "<s>", score: 0, type: "control" },
  { piece: "</s>", score: 0, type: "control" },
];
const BYTES = Array.from({ length: 256 }, (_, b): Piece => ({ piece: bytePiece(b), score: 0, type: "byte" }));
const piece = (text: string, score: number, type: PieceType = "normal"): Piece => ({
  piece: text,
  score,
  type,
});

function bpe(own: readonly Piece[], options: Partial<typeof MODEL_DEFAULTS | Record<string, boolean>> = {}) {
  const pieces = [...META, ...BYTES, ...own];
  return new SentencePieceBpe({
    ...MODEL_DEFAULTS,
    byteFallback: true,
    removeExtraWhitespaces: false,
    ...options,
    pieces,
  });
}
const spelled = (b: SentencePieceBpe, text: string) => b.encode(text).map((id) => b.model.pieces[id]!.piece);

describe("merging", () => {
  const letters = ["a", "b", "c", "▁"].map((c) => piece(c, -100));

  it("takes the highest score first, then the leftmost", () => {
    const byScore = bpe([...letters, piece("ab", -2), piece("bc", -1)]);
    expect(spelled(byScore, "abc")).toEqual(["▁", "a", "bc"]);
    const byPlace = bpe([...letters, piece("ab", -1), piece("bc", -1), piece("aa", -1)]);
    expect(spelled(byPlace, "abc")).toEqual(["▁", "ab", "c"]);
    expect(spelled(byPlace, "aaaaa")).toEqual(["▁", "aa", "aa", "a"]);
  });

  it("merges any two neighbours whose concatenation is a piece", () => {
    const b = bpe([...letters, piece("ab", -1), piece("bc", -2), piece("abc", -3), piece("▁abc", -4)]);
    expect(spelled(b, "abcabc")).toEqual(["▁abc", "abc"]);
  });

  it("drops pairs whose halves have merged elsewhere", () => {
    // When "bc" merges, the queued "ab" and "cb" are stale.
    const b = bpe([...letters, piece("bc", -1), piece("ab", -2), piece("cb", -2)]);
    expect(spelled(b, "abcb")).toEqual(["▁", "a", "bc", "b"]);
  });

  it("matches user-defined pieces first, the longest one, and never merges them", () => {
    const b = bpe([
      ...letters,
      piece("ab", 0, "user_defined"),
      piece("abb", 0, "user_defined"),
      piece("abc", -1),
    ]);
    expect(spelled(b, "abcabb")).toEqual(["▁", "ab", "c", "abb"]);
  });

  it("takes unused pieces apart again", () => {
    const b = bpe([...letters, piece("ab", -1, "unused"), piece("abc", -2), piece("aa", -3, "unused")]);
    expect(spelled(b, "abcab")).toEqual(["▁", "abc", "a", "b"]);
    expect(spelled(bpe([piece("▁", -1), piece("a", -1, "unused")]), "a")).toEqual(["▁", "<0x61>"]);
  });
});

describe("spaces and unknown characters", () => {
  it("writes characters outside the vocabulary as bytes", () => {
    expect(spelled(bpe([piece("▁", -1)]), "é\ud800")).toEqual([
      "▁",
      "<0xC3>",
      "<0xA9>",
      "<0xEF>",
      "<0xBF>",
      "<0xBD>",
    ]);
  });

  it("makes one unknown piece of a run where there is no byte fallback", () => {
    const b = bpe([piece("▁", -1), piece("a", -1)], { byteFallback: false });
    expect(spelled(b, "éèaé")).toEqual(["▁", "<unk>", "a", "<unk>"]);
    expect(b.decode(b.encode("éèaé"))).toBe(" \u2047 a \u2047 ");
  });

  it("collapses spaces only where the model says so", () => {
    const own = [piece("▁", -1), piece("a", -1)];
    expect(spelled(bpe(own), " a  a ")).toEqual(["▁", "▁", "a", "▁", "▁", "a", "▁"]);
    expect(spelled(bpe(own, { removeExtraWhitespaces: true }), " a  a ")).toEqual(["▁", "a", "▁", "a"]);
    expect(spelled(bpe(own, { addDummyPrefix: false }), "a a")).toEqual(["a", "▁", "a"]);
    expect(bpe(own).encode("a", { dummyPrefix: false })).toEqual([bpe(own).idOf("a")]);
    expect(bpe(own).encode("")).toEqual([]);
  });

  it("never recognises control pieces in a text", () => {
    expect(spelled(bpe([piece("▁", -1)]), "<s>")).toEqual(["▁", "<0x3C>", "<0x73>", "<0x3E>"]);
  });

  it("refuses to decode an id outside the vocabulary", () => {
    expect(() => bpe([]).decode([259])).toThrow(UsageError);
    expect(() => bpe([]).decode([-1])).toThrow("decode: id -1 is outside the vocabulary of 259 pieces");
  });
});

describe("any text", () => {
  const own = ["▁", "a", "b", "é", "猫", "▁a", "ab", "▁ab", "猫猫", "▁▁"].map((text, i) => piece(text, -i));
  const unit = fc.oneof(
    fc.constantFrom("a", "b", " ", "猫", "\n", "😀"),
    fc.string({ unit: "binary", maxLength: 2 }),
  );
  const text = fc.array(unit, { maxLength: 60 }).map((parts) => parts.join("").replaceAll("▁", "_"));

  it("decodes to itself with byte fallback", () => {
    const b = bpe(own);
    fc.assert(
      fc.property(text, (t) => {
        expect(b.decode(b.encode(t))).toBe(t);
      }),
      { numRuns: 1000 },
    );
  });

  it("merges as the plain quadratic procedure does", () => {
    const b = bpe(own);
    const score = new Map(own.map((p) => [p.piece, p.score]));
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."ab 猫é"), maxLength: 40 }), (t) => {
        const symbols = t === "" ? [] : Array.from(`▁${t.replaceAll(" ", "▁")}`);
        for (;;) {
          const scores = symbols
            .slice(1)
            .map((s, i) => score.get(symbols[i]! + s) ?? Number.NEGATIVE_INFINITY);
          const best = Math.max(Number.NEGATIVE_INFINITY, ...scores);
          if (best === Number.NEGATIVE_INFINITY) break;
          const at = scores.indexOf(best);
          symbols.splice(at, 2, symbols[at]! + symbols[at + 1]!);
        }
        expect(spelled(b, t)).toEqual(symbols);
      }),
      { numRuns: 1000 },
    );
  });

  it("encodes a megabyte without a space", () => {
    const b = bpe([...own, piece("aa", -20), piece("aaaa", -21), piece("aaaaaaaa", -22)]);
    const long = "a".repeat(2 ** 20);
    const ids = b.encode(long);
    expect(ids.length).toBeLessThan(2 ** 18);
    expect(b.decode(ids)).toBe(long);
  });
});

describe("word by word", () => {
  const letter = fc.constantFrom("a", "b", "c", "d", " ", "é", "▁");
  const text = fc.array(letter, { maxLength: 24 }).map((l) => l.join(""));
  /** Pieces as a trainer makes them: spaces only in front. "d" is in no piece. */
  const own = fc
    .array(
      fc
        .tuple(fc.nat(2), fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 4 }))
        .map(([spaces, l]) => "▁".repeat(spaces) + l.join(""))
        .filter((p) => p.length > 1),
      { maxLength: 30 },
    )
    .map((pieces) =>
      ["▁", "a", "b", "c", ...new Set(pieces)].map((p, i) =>
        piece(p, -i, i % 7 === 6 ? "user_defined" : "normal"),
      ),
    );
  const flags = fc.record({
    byteFallback: fc.boolean(),
    dummyPrefix: fc.boolean(),
    removeExtraWhitespaces: fc.boolean(),
  });
  /** A piece that no text makes, of a kind with which texts are merged whole. */
  const whole = piece("\u0001\u0002", -1, "unused");

  it("gives the ids of the whole text, first and kept", () => {
    fc.assert(
      fc.property(
        own,
        fc.array(text, { maxLength: 4 }),
        flags,
        (pieces, texts, { dummyPrefix, ...model }) => {
          const [wordwise, reference] = [bpe(pieces, model), bpe([...pieces, whole], model)];
          for (const t of [...texts, ...texts])
            expect(wordwise.encode(t, { dummyPrefix })).toEqual(reference.encode(t, { dummyPrefix }));
        },
      ),
    );
  });

  it("is not done when a piece reaches over a space", () => {
    const b = bpe([...["a", "b", "▁"].map((c) => piece(c, -100)), piece("a▁", -1), piece("a▁b", -2)]);
    expect(spelled(b, "a b")).toEqual(["▁", "a▁b"]);
  });
});
