import { describe, expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { BYTE_CHARS } from "./byte-alphabet.ts";
import { ggufTokenizer } from "./gguf-tokenizer.ts";
import { bytePiece } from "./sentencepiece-model.ts";

const G = "tokenizer.ggml";
const E_ACUTE = BYTE_CHARS[0xc3]! + BYTE_CHARS[0xa9]!;
const bytes = [...BYTE_CHARS, "Ġa", "12", E_ACUTE, "<|end|>", "<box>", "[PAD]"];
const ids = (text: string) => bytes.flatMap((token, id) => (token === text ? [id] : []));
const gpt2 = {
  "general.architecture": "qwen2",
  [`${G}.model`]: "gpt2",
  [`${G}.pre`]: "qwen2",
  [`${G}.tokens`]: bytes,
  [`${G}.token_type`]: bytes.map((token) => ({ "<|end|>": 3, "<box>": 4, "[PAD]": 5 })[token] ?? 1),
  [`${G}.merges`]: ["Ġ a", "1 2", `${BYTE_CHARS[0xc3]} ${BYTE_CHARS[0xa9]}`],
  [`${G}.eos_token_id`]: BigInt(bytes.indexOf("<|end|>")),
};

const pieces = [
  "<unk>",
  "<s>",
  "</s>",
  ...Array.from({ length: 256 }, (_, b) => bytePiece(b)),
  "▁",
  "a",
  "▁a",
  "<|end|>",
];
const llama = {
  [`${G}.model`]: "llama",
  [`${G}.tokens`]: pieces,
  [`${G}.token_type`]: pieces.map((token, id) =>
    id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : token === "<|end|>" ? 4 : 1,
  ),
  [`${G}.scores`]: pieces.map((_, id) => -id),
  [`${G}.bos_token_id`]: 1,
  [`${G}.eos_token_id`]: 2,
};

describe("ggufTokenizer, byte-level", () => {
  it("cuts, normalises and merges as the kind that the file names", () => {
    const tokenizer = ggufTokenizer(gpt2);
    const [a, one, two, twelve, accented, end, box] = ["Ġa", "1", "2", "12", E_ACUTE, "<|end|>", "<box>"].map(
      (t) => ids(t)[0]!,
    );
    // Qwen2 takes digits one by one and composes characters; Llama-3 neither.
    expect(tokenizer.encode(" a12e\u0301<box><|end|>")).toEqual([a, one, two, accented, box, end]);
    const llama3 = ggufTokenizer({ ...gpt2, [`${G}.pre`]: "llama-bpe" });
    expect(llama3.encode("12e\u0301").slice(0, 2)).toEqual([twelve, ids("e")[0]]);
    for (const [name, like] of [
      ["deepseek-r1-qwen", tokenizer],
      ["smaug-bpe", llama3],
      ["dbrx", llama3],
    ] as const)
      expect(ggufTokenizer({ ...gpt2, [`${G}.pre`]: name }).encode("12e\u0301")).toEqual(
        like.encode("12e\u0301"),
      );
    expect(tokenizer.decode(tokenizer.encode(" a<box><|end|>"))).toBe(" a<box>");
    expect([tokenizer.eosId, tokenizer.bosId, tokenizer.addsBos]).toEqual([end, undefined, false]);
  });

  it("cuts digits apart before anything else for SmolLM", () => {
    const tokenizer = ggufTokenizer({ ...gpt2, [`${G}.pre`]: "smollm" });
    expect(tokenizer.encode("12")).toEqual([ids("1")[0], ids("2")[0]]);
    expect(ggufTokenizer({ ...gpt2, [`${G}.pre`]: "gpt-2" }).encode("12")).toEqual(ids("12"));
  });
});

describe("ggufTokenizer, SentencePiece", () => {
  it("adds BOS by default, a space in front, and finds user-defined tokens", () => {
    const tokenizer = ggufTokenizer(llama);
    const [space, a, spaceA, end] = [259, 260, 261, 262];
    expect(tokenizer.addsBos).toBe(true);
    expect(tokenizer.encode("a<|end|>é", { bos: true })).toEqual([1, spaceA, end, space, 3 + 0xc3, 3 + 0xa9]);
    expect(tokenizer.decode([1, spaceA, end])).toBe("a<|end|>");
    expect(tokenizer.encode("<|end|>", { literal: true })).not.toContain(end);
    // Made of a tokenizer.json: all that is special is a control piece, and the unknown one is named.
    const types = pieces.map((_, id) => (id < 3 ? 3 : id < 259 ? 6 : 1));
    const made = { ...llama, [`${G}.token_type`]: types, [`${G}.unknown_token_id`]: 0 };
    expect(ggufTokenizer(made).encode("a")).toEqual([spaceA]);
    const bare = ggufTokenizer({ ...llama, [`${G}.add_space_prefix`]: false, [`${G}.add_bos_token`]: false });
    expect([bare.encode("a"), bare.addsBos]).toEqual([[a], false]);
  });
});

it.each<[string, Record<string, unknown>, new (message: string) => Error, RegExp]>([
  ["no fields", {}, ConfigError, /^file\.gguf: tokenizer\.ggml\.model: .*tokenizer\.ggml\.tokens: /],
  [
    "another model",
    { ...llama, [`${G}.model`]: "bert" },
    ConfigError,
    /model is "bert", expected gpt2 or llama/,
  ],
  [
    "a cutting that is not known",
    { ...gpt2, [`${G}.pre`]: "x" },
    ConfigError,
    /pre is "x", expected one of qwen2, /,
  ],
  ["no merges", { ...gpt2, [`${G}.merges`]: undefined }, ConfigError, /merges is missing/],
  ["no scores", { ...llama, [`${G}.scores`]: undefined }, ConfigError, /scores is missing/],
  [
    "scores of another length",
    { ...llama, [`${G}.scores`]: [0] },
    ConfigError,
    /scores has 1 entries, .*tokens 263/,
  ],
  [
    "a type that does not exist",
    { ...llama, [`${G}.token_type`]: pieces.map(() => 9) },
    ConfigError,
    /token 0, "<unk>", has the unknown type 9/,
  ],
  [
    "a BOS that is no token",
    { ...llama, [`${G}.bos_token_id`]: 5000 },
    ConfigError,
    /token 5000, the list ends at 262/,
  ],
  [
    "a vocabulary without unknown",
    { ...llama, [`${G}.token_type`]: pieces.map(() => 1) },
    CheckpointError,
    /0 pieces are of the type unknown/,
  ],
  ["merges of other tokens", { ...gpt2, [`${G}.merges`]: ["a b"] }, CheckpointError, /merge 0 makes "ab"/],
])("refuses %s", (_, metadata, type, message) => {
  expect(() => ggufTokenizer(metadata, "file.gguf")).toThrow(type);
  expect(() => ggufTokenizer(metadata, "file.gguf")).toThrow(message);
});
