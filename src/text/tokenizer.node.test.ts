import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { SentencePieceBpe } from "./sentencepiece-bpe.ts";
import { parseSentencePieceModel, writeSentencePieceModel } from "./sentencepiece-model.ts";
import { openTokenizer } from "./tokenizer.node.ts";

interface Cases {
  readonly encode: readonly { text: string; ids: number[]; decoded: string }[];
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

  it("puts no space after a special piece when the configuration says legacy false", async () => {
    await put("tokenizer.model", await readFile(fixture("llama/tokenizer.model")));
    const space = async () => (await openTokenizer(folder)).encode("</s>猫").length;
    const withSpace = await space();
    await put("tokenizer_config.json", JSON.stringify({ legacy: false }));
    expect(await space()).toBe(withSpace - 1);
  });

  it.each<[string, Record<string, string>, new (message: string) => Error, RegExp]>([
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
