import { describe, expect, it } from "vitest";
import type { AddedToken } from "./added-tokens.ts";
import { bytePiece, MODEL_DEFAULTS, type Piece, type SentencePieceModel } from "./sentencepiece-model.ts";
import { sentencePieceTokenizer } from "./sentencepiece-tokenizer.ts";

const piece = (text: string, type: Piece["type"] = "normal"): Piece => ({ piece: text, score: 0, type });
/** 0 unknown, 1 BOS, 2 EOS, then bytes from 3, then these from 259: ▁, a, b, and one that a configuration renames. */
const model: SentencePieceModel = {
  ...MODEL_DEFAULTS,
  byteFallback: true,
  removeExtraWhitespaces: false,
  pieces: [
    ...[piece("<unk>", "unknown"), piece("<s>", "control"), piece("</s>", "control")],
    ...Array.from({ length: 256 }, (_, b) => piece(bytePiece(b), "byte")),
    ...[piece("▁"), piece("a"), piece("b"), piece("[UNUSED_TOKEN_145]", "control")],
  ],
};
const [SPACE, A, B, END, REF, KEPT] = [259, 260, 261, 262, 263, 264];
const flags = { special: true, lstrip: false, rstrip: false, singleWord: false, normalized: false };
const added: AddedToken[] = [
  { ...flags, content: "<|im_end|>", id: END },
  { ...flags, content: "<ref>", id: REF },
  { ...flags, content: "<note>", id: KEPT, special: false },
];
const legacy = sentencePieceTokenizer(model, { added, ends: { addsBos: true } });
const modern = sentencePieceTokenizer(model, { added, prefixAfterAdded: false });
const internlm2 = sentencePieceTokenizer({ ...model, addDummyPrefix: false }, { added });

describe("sentencePieceTokenizer", () => {
  it("puts the dummy space where the published classes put it", () => {
    const text = "a<|im_end|>b a<ref><ref>a";
    const expected = (first: number[], after: number[]) =>
      [...first, A, END, ...after, B, SPACE, A, REF, REF, ...after, A] as number[];
    expect(legacy.encode(text)).toEqual(expected([SPACE], [SPACE]));
    expect(modern.encode(text)).toEqual(expected([SPACE], []));
    expect(internlm2.encode(text)).toEqual(expected([], []));
    // With `legacy: false` a text that begins with an added token has none at all.
    expect(modern.encode("<ref>a")).toEqual([REF, A]);
    expect(legacy.encode("<ref>a")).toEqual([REF, SPACE, A]);
  });

  it("begins with the dummy space where the first token is no marker of the configuration's", () => {
    const phi3 = sentencePieceTokenizer(model, {
      ...{ added, prefixAfterAdded: false, markers: new Set(["<ref>"]), ends: { addsBos: true } },
    });
    expect(phi3.encode("<note>a<|im_end|>b", { bos: true })).toEqual([1, SPACE, KEPT, A, END, B]);
    expect(phi3.encode("<ref><note>a")).toEqual([REF, KEPT, A]);
    expect(phi3.encode("a<note>")).toEqual([SPACE, A, KEPT]);
    expect(phi3.decode(phi3.encode("<note>a"), { skipSpecial: false })).toBe("<note>a");
  });

  it("decodes to the same text with its markers, without spaces of its own", () => {
    for (const tokenizer of [legacy, modern, internlm2])
      for (const text of ["a<|im_end|>b a<ref>a", "<ref>a</s> b", " a<ref>  b<note>猫<ref>", "<note>"])
        expect(tokenizer.decode(tokenizer.encode(text), { skipSpecial: false }), text).toBe(text);
  });

  it("leaves out what is special, all of it or what it is asked to", () => {
    const ids = modern.encode("<s><ref>a<note><|im_end|>");
    expect(ids).toEqual([1, REF, A, KEPT, END]);
    expect(modern.decode(ids)).toBe("a<note>");
    expect(modern.decode(ids, { skipSpecial: (token) => token !== "<ref>" })).toBe("<ref>a<note>");
    expect(() => modern.decode([999])).toThrow("decode: id 999 is outside the vocabulary of 265 pieces");
  });

  it("lets a configuration rename a piece", () => {
    expect([modern.idOf("<|im_end|>"), modern.idOf("[UNUSED_TOKEN_145]")]).toEqual([END, END]);
    expect(modern.decode([END], { skipSpecial: false })).toBe("<|im_end|>");
    expect(modern.encode("[UNUSED_TOKEN_145]")).not.toContain(END);
  });

  it("takes added tokens for text where that is asked for", () => {
    const text = "a<ref>b<ref>";
    const spelled = Array.from("<ref>", (c) => 3 + c.charCodeAt(0));
    expect(modern.encode(text, { literal: true })).toEqual([SPACE, A, ...spelled, B, ...spelled]);
    expect(modern.encode(text, { literal: [[1, 6]] })).toEqual([SPACE, A, ...spelled, B, REF]);
    expect(modern.decode(modern.encode(text, { literal: true }))).toBe(text);
  });

  it("says whether the published tokenizer adds BOS, and adds it when asked", () => {
    expect([legacy.addsBos, legacy.addsEos, modern.addsBos]).toEqual([true, false, false]);
    expect(legacy.encode("<ref>", { bos: legacy.addsBos, eos: true })).toEqual([1, REF, 2]);
  });
});
