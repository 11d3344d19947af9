import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import { hfTokenizer } from "./hf-tokenizer.ts";
import { parseTokenizerConfig } from "./tokenizer-config.ts";

const file = {
  added_tokens: [{ id: 2, content: "<end>", special: true }],
  decoder: { type: "Fuse" },
  model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] },
};

describe("hfTokenizer", () => {
  const tokenizer = hfTokenizer(file, {
    config: parseTokenizerConfig({ eos_token: "<end>", clean_up_tokenization_spaces: true }),
  });

  it("adds the ends that are asked for and refuses those it does not have", () => {
    expect(tokenizer.encode("ab", { eos: true })).toEqual([0, 1, 2]);
    expect(() => tokenizer.encode("ab", { bos: true })).toThrow("this tokenizer has no BOS token");
    expect([tokenizer.vocabSize, tokenizer.idOf("b"), tokenizer.idOf("c")]).toEqual([3, 1, undefined]);
  });

  it("decodes without special pieces and without tidying", () => {
    expect(tokenizer.decode([0, 2, 1])).toBe("ab");
    expect(tokenizer.decode([])).toBe("");
    const spaced = hfTokenizer({ ...file, model: { ...file.model, vocab: { a: 0, " !": 1 } } });
    expect(spaced.decode([0, 1])).toBe("a !");
  });

  it("refuses ids and characters outside the vocabulary", () => {
    expect(() => tokenizer.decode([0, 7])).toThrow("id 7 is outside the vocabulary of 3 pieces");
    expect(() => tokenizer.decode([0, 7])).toThrow(UsageError);
    const words = hfTokenizer({ ...file, model: { ...file.model, type: "WordPiece" } });
    expect(() => words.encode("z")).toThrow(/not in the vocabulary, and this tokenizer has no unknown piece/);
  });

  it("knows from the file's template whether texts have BOS and EOS, unless the configuration says otherwise", () => {
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const single = [special("<end>"), { Sequence: { id: "A", type_id: 0 } }];
    const template = { type: "TemplateProcessing", single };
    const inSequence = {
      ...file,
      post_processor: { type: "Sequence", processors: [{ type: "ByteLevel" }, template] },
    };
    const bos = hfTokenizer(inSequence);
    expect([bos.addsBos, bos.addsEos, bos.bosId]).toEqual([true, false, 2]);
    const off = hfTokenizer(inSequence, { config: parseTokenizerConfig({ add_bos_token: false }) });
    expect(off.addsBos).toBe(false);
    const other = hfTokenizer(inSequence, { config: parseTokenizerConfig({ bos_token: "a" }) });
    expect(other.addsBos).toBe(false);
  });

  it("takes tokens of normalised text for text in literal ranges, wherever normalising moves these", () => {
    const nfc = {
      added_tokens: [{ id: 9, content: "<\u00e9>", normalized: true }],
      normalizer: { type: "NFC" },
      model: { type: "BPE", vocab: { "<": 0, ">": 1, "\u00e9": 2, " ": 3 }, merges: [] },
    };
    const tokenizer = hfTokenizer(nfc);
    const text = "e\u0301 <e\u0301> <\u00e9>"; // tokens at [3, 7) and [8, 11)
    expect(tokenizer.encode(text)).toEqual([2, 3, 9, 3, 9]);
    expect(tokenizer.encode(text, { literal: [[3, 7]] })).toEqual([2, 3, 0, 2, 1, 3, 9]);
    expect(tokenizer.encode(text, { literal: [[8, 9]] })).toEqual([2, 3, 9, 3, 0, 2, 1]);
    expect(tokenizer.encode(text, { literal: true })).toEqual([2, 3, 0, 2, 1, 3, 0, 2, 1]);
  });

  it("keeps the good characters of a run of bytes that has a bad one", () => {
    const vocab = { "<0xC3>": 0, "<0xA9>": 1, "<0xFF>": 2, "\u2581a": 3 };
    const decoders = [
      { type: "Replace", pattern: { String: "\u2581" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ];
    const json = { model: { type: "BPE", vocab, merges: [] }, decoder: { type: "Sequence", decoders } };
    // The Python library: "\ufffd\ufffd\ufffd a".
    expect(hfTokenizer(json).decode([3, 0, 1, 2, 3])).toBe("a\u00e9\ufffd a");
  });

  it("keeps the words of other algorithms and their decoders: all text at the end", () => {
    const wordPiece = {
      model: {
        type: "WordPiece",
        vocab: { "[UNK]": 0, un: 1, "##like": 2, "##ly": 3 },
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
      },
      pre_tokenizer: { type: "Whitespace" },
      decoder: { type: "WordPiece", prefix: "##", cleanup: false },
    };
    const words = hfTokenizer(wordPiece);
    expect(words.encode("unlikely un zz")).toEqual([1, 2, 3, 1, 0]);
    expect(words.decode([1, 2, 3, 1])).toBe("unlikely un");
  });

  it.each([
    [
      { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious" },
      /behavior MergedWithPrevious/,
    ],
    [
      { type: "Sequence", pretokenizers: [{ type: "ByteLevel" }, { type: "Digits" }] },
      /ByteLevel is not the last/,
    ],
    [
      {
        type: "Sequence",
        pretokenizers: [{ type: "Digits" }, { type: "ByteLevel", add_prefix_space: true }],
      },
      /each of several words/,
    ],
    [{ type: "Sequence", pretokenizers: [3] }, /not an object with a type/],
  ])("refuses what the library would get wrong: %j", (pre_tokenizer, message) => {
    expect(() => hfTokenizer({ ...file, pre_tokenizer })).toThrow(message);
  });
});
