import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import { parseSentencePieceModel, writeSentencePieceModel } from "./sentencepiece-model.ts";
import { openTokenizer, TOKENIZER_FILES } from "./tokenizer.node.ts";

interface Cases {
  readonly encode: readonly { text: string; ids: number[]; decoded: string; kept: string }[];
  readonly decode: readonly { ids: number[]; text: string }[];
}
const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const casesOf = async (name: string) =>
  JSON.parse(await readFile(fixture(`${name}/cases.json`), "utf8")) as Cases;

// The fixtures and their ids were made by fixtures/make_fixtures.py.
describe.each(["llama", "plain"])("SentencePiece's own ids, %s", (name) => {
  it("encodes and decodes as SentencePiece does, also after writing the model anew", async () => {
    const { encode, decode } = await casesOf(name);
    expect(encode.length).toBeGreaterThan(100);
    const model = parseSentencePieceModel(await readFile(fixture(`${name}/tokenizer.model`)));
    for (const m of [model, parseSentencePieceModel(writeSentencePieceModel(model))]) {
      const bpe = new SentencePieceBpe(m);
      for (const { text, ids, decoded } of encode) {
        expect(bpe.encode(text), JSON.stringify(text)).toEqual(ids);
        expect(bpe.decode(ids), JSON.stringify(text)).toBe(decoded);
      }
      for (const { ids, text } of decode) expect(bpe.decode(ids)).toBe(text);
    }
  });
});

describe("tokenizer.json", () => {
  it("encodes and decodes as the reference library does", async () => {
    const tokenizer = await openTokenizer(fixture("bytes"));
    const { encode } = await casesOf("bytes");
    expect(encode.length).toBeGreaterThan(100);
    for (const { text, ids, decoded } of encode) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
    const end = tokenizer.idOf("<|end|>");
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([undefined, end, end]);
    expect(tokenizer.encode("a", { eos: true }).at(-1)).toBe(end);
  });
});

// Ids and texts of the Python library (fixtures/make_fixtures.py).
describe.each(["qwen2", "pieces"])("the reference library's ids, %s", (name) => {
  it("encodes, decodes, and decodes with special tokens as it does, also one id at a time", async () => {
    const tokenizer = await openTokenizer(fixture(name));
    const { encode, decode } = await casesOf(name);
    expect(encode.length).toBeGreaterThan(100);
    for (const { text, ids, decoded, kept } of encode) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(kept);
      const stream = tokenizer.decoder();
      expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(decoded);
    }
    for (const { ids, text } of decode) expect(tokenizer.decode(ids)).toBe(text);
  });
});

describe("Qwen2's files", () => {
  it("have no BOS, and resolve markers by their spelling", async () => {
    const tokenizer = await openTokenizer(fixture("qwen2"));
    expect([tokenizer.addsBos, tokenizer.addsEos, tokenizer.bosId]).toEqual([false, false, undefined]);
    const { added_tokens_decoder: added } = JSON.parse(
      await readFile(fixture("qwen2/tokenizer_config.json"), "utf8"),
    );
    for (const [id, { content }] of Object.entries<{ content: string }>(added))
      expect(tokenizer.idOf(content)).toBe(Number(id));
    expect(tokenizer.eosId).toBe(tokenizer.idOf("<|im_end|>"));
    expect(tokenizer.vocabSize).toBe(Math.max(...Object.keys(added).map(Number)) + 1);
    expect(tokenizer.idOf("<quad>")).toBeUndefined();
  });

  it("are all among the files that a copy of a tokenizer is made of", async () => {
    const files = (await readdir(fixture("qwen2"))).filter((name) => name !== "cases.json");
    expect(files.length).toBe(4);
    for (const name of files) expect(TOKENIZER_FILES).toContain(name);
  });

  it("decode what they encode, whatever the text, and each piece is valid by itself", async () => {
    const tokenizer = await openTokenizer(fixture("qwen2"));
    const unit = fc.oneof(
      fc.constantFrom("<img>", "word", " ", "\n", "猫", "é"),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 20 }), (parts) => {
        const text = parts.join("");
        const ids = tokenizer.encode(text, { literal: true });
        const stream = tokenizer.decoder({ skipSpecial: false });
        const pieces = [...ids.map((id) => stream.push(id)), stream.end()];
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
        expect(pieces.join("")).toBe(text.replace(/\p{Surrogate}/gu, "\ufffd").normalize("NFC"));
        expect(ids.every((id) => id < tokenizer.idOf("<|endoftext|>")!)).toBe(true);
      }),
    );
  });
});

describe("openTokenizer", () => {
  let folder = "";
  const put = (name: string, content: string | Uint8Array) => writeFile(join(folder, name), content);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("prefers tokenizer.model and takes special pieces from tokenizer_config.json", async () => {
    await put("tokenizer.model", await readFile(fixture("llama/tokenizer.model")));
    await put("tokenizer.json", "not read");
    const plain = await openTokenizer(folder);
    expect([plain.bosId, plain.eosId, plain.padId, plain.vocabSize]).toEqual([1, 2, undefined, 700]);
    const added = { 700: { content: "<|im_end|>", rstrip: true }, 701: { content: "[PAD]", lstrip: true } };
    await put(
      "tokenizer_config.json",
      JSON.stringify({
        added_tokens_decoder: added,
        eos_token: "<|im_end|>",
        pad_token: { content: "[PAD]" },
      }),
    );
    const tokenizer = await openTokenizer(folder);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId, tokenizer.vocabSize]).toEqual([
      1, 700, 701, 702,
    ]);
    const around = [...plain.encode("a cat"), 700, ...plain.encode("two"), 701];
    expect(tokenizer.encode("a cat<|im_end|>  two  [PAD]")).toEqual(around);
    expect(tokenizer.decode(around)).toBe("a cat two");
  });

  it("takes added tokens from added_tokens.json and special_tokens_map.json, as older folders have them", async () => {
    await put("tokenizer.model", await readFile(fixture("llama/tokenizer.model")));
    await put("added_tokens.json", JSON.stringify({ "<IMG_CONTEXT>": 700, "<note>": 701 }));
    await put("special_tokens_map.json", JSON.stringify({ additional_special_tokens: ["<IMG_CONTEXT>"] }));
    const tokenizer = await openTokenizer(folder);
    const ids = tokenizer.encode(`${"<IMG_CONTEXT>".repeat(2)}<note>`);
    expect(ids).toEqual([700, 700, 701]);
    expect(tokenizer.decode(ids)).toBe("<note>");
  });

  it.each([
    [{ tokenizer_class: "InternLM2Tokenizer" }, [true, false]],
    [{ tokenizer_class: "LlamaTokenizer", add_bos_token: false }, [false, false]],
    [{ tokenizer_class: "LlamaTokenizerFast", add_eos_token: true }, [true, true]],
    [{ tokenizer_class: "PreTrainedTokenizerFast" }, [false, false]],
    [{ add_bos_token: true }, [true, false]],
    [{}, [false, false]],
  ])("knows from %j whether texts get BOS and EOS", async (config, expected) => {
    await put("tokenizer.model", await readFile(fixture("llama/tokenizer.model")));
    await put("tokenizer_config.json", JSON.stringify(config));
    const tokenizer = await openTokenizer(folder);
    expect([tokenizer.addsBos, tokenizer.addsEos]).toEqual(expected);
  });

  it("puts no space after a special piece when the configuration says legacy false", async () => {
    await put("tokenizer.model", await readFile(fixture("llama/tokenizer.model")));
    const space = async () => (await openTokenizer(folder)).encode("</s>猫").length;
    const withSpace = await space();
    await put("tokenizer_config.json", JSON.stringify({ legacy: false }));
    expect(await space()).toBe(withSpace - 1);
  });

  it.each<[string, Record<string, string | Uint8Array>, new (message: string) => Error, RegExp]>([
    [
      "an empty folder",
      {},
      CheckpointError,
      /no tokenizer found, expected tokenizer\.model, tokenizer\.json, or vocab\.json/,
    ],
    [
      "a truncated model",
      { "tokenizer.model": "\n\x05ab" },
      CheckpointError,
      /tokenizer\.model: not a SentencePiece model/,
    ],
    ["a file that is not JSON", { "tokenizer.json": "{" }, CheckpointError, /tokenizer\.json: not JSON/],
    [
      "JSON of another kind",
      { "tokenizer.json": "{}" },
      CheckpointError,
      /tokenizer\.json: not a tokenizer\.json: model/,
    ],
    [
      "an id that only costs memory",
      { "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 4e9 }, merges: [] } }) },
      CheckpointError,
      /not a tokenizer\.json: model\.vocab/,
    ],
    [
      "an algorithm that the library does not know",
      { "tokenizer.json": JSON.stringify({ model: { type: "Magic", vocab: { a: 0 } } }) },
      CheckpointError,
      /not a tokenizer\.json: model\.type/,
    ],
    [
      "a step that the library does not know",
      {
        "tokenizer.json": JSON.stringify({
          pre_tokenizer: { type: "Magic" },
          model: { type: "BPE", vocab: { a: 0 }, merges: [] },
        }),
      },
      CheckpointError,
      /this tokenizer is not supported: .*Magic/,
    ],
    [
      "a named piece that is in no vocabulary",
      {
        "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }),
        "tokenizer_config.json": JSON.stringify({ eos_token: "<end>" }),
      },
      CheckpointError,
      /the vocabulary lacks eos_token "<end>"/,
    ],
    [
      "one added token with two ids",
      {
        "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }),
        "tokenizer_config.json": JSON.stringify({ added_tokens_decoder: { 1: { content: "<img>" } } }),
        "added_tokens.json": JSON.stringify({ "<img>": 2 }),
      },
      CheckpointError,
      /"<img>" has the id 1 in one file and 2 in another/,
    ],
    [
      "one id with two added tokens",
      {
        "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }),
        "added_tokens.json": JSON.stringify({ "<a>": 1, "<b>": 1 }),
      },
      CheckpointError,
      /"<a>" and "<b>" have the same id 1/,
    ],
    [
      "BOS around texts without a BOS",
      {
        "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }),
        "tokenizer_config.json": JSON.stringify({ add_bos_token: true }),
      },
      CheckpointError,
      /its texts have BOS around them, but the vocabulary has no such token/,
    ],
    [
      "vocab.json of a class whose cutting is not known",
      {
        "vocab.json": "{}",
        "merges.txt": "",
        "tokenizer_config.json": JSON.stringify({ tokenizer_class: "XTokenizer" }),
      },
      ConfigError,
      /tokenizer_class is "XTokenizer", expected Qwen2Tokenizer.*tokenizer\.json/,
    ],
    [
      "merges that are no pairs",
      {
        "vocab.json": JSON.stringify({ a: 0 }),
        "merges.txt": "#version: 0.2\na a\na b c\n",
        "tokenizer_config.json": JSON.stringify({ tokenizer_class: "Qwen2Tokenizer" }),
      },
      CheckpointError,
      /merges\.txt: merge 2 is "a b c", expected two tokens/,
    ],
    [
      "ids in added_tokens.json that are none",
      { "added_tokens.json": JSON.stringify({ "<a>": -1 }) },
      ConfigError,
      /added_tokens\.json: <a>/,
    ],
    [
      "a file that is not UTF-8",
      { "vocab.json": JSON.stringify({ a: 0 }), "merges.txt": Uint8Array.of(0xff, 0xfe) },
      CheckpointError,
      /merges\.txt: not UTF-8/,
    ],
    [
      "a wrong configuration, naming every field",
      {
        "tokenizer_config.json": JSON.stringify({
          bos_token: 3,
          added_tokens_decoder: { x: { content: "" } },
        }),
      },
      ConfigError,
      /tokenizer_config\.json: bos_token: .*; added_tokens_decoder\.x/,
    ],
  ])("refuses %s", async (_, files, type, message) => {
    for (const [name, content] of Object.entries(files)) await put(name, content);
    const opening = openTokenizer(folder);
    await expect(opening).rejects.toThrow(type);
    await expect(opening).rejects.toThrow(message);
  });
});
