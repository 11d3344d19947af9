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
    expect([tokenizer.vocabSize, tokenizer.idOf("b"), tokenizer.idOf("c")]).toEqual([
      3,
      1,
      undefined,
    ]);
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
});
