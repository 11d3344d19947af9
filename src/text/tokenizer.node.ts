import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, messageOf } from "../core/errors.ts";
import { byteLevelJson, byteLevelKindOf, parseMerges } from "./byte-level-files.ts";
import { hfTokenizer } from "./hf-tokenizer.ts";
import { parseSentencePieceModel } from "./sentencepiece-model.ts";
import { sentencePieceTokenizer } from "./sentencepiece-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  addedEnds,
  collectAddedTokens,
  namedTokens,
  parseAddedTokens,
  parseTokenizerConfig,
} from "./tokenizer-config.ts";

/** The files that `openTokenizer` reads: a folder with copies of those that are there has the same tokenizer. */
export const TOKENIZER_FILES: readonly string[] = [
  ...["tokenizer.model", "tokenizer.json", "vocab.json", "merges.txt"],
  ...["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
];

/** What loading a model reads beside its weights, tokenizer and config.json. */
export const PROMPT_FILES: readonly string[] = [
  "generation_config.json",
  "chat_template.jinja",
  "chat_template.json",
];

const MAX_BYTES = 64 * 2 ** 20;

/** The file's bytes, undefined when there is none. */
async function read(file: string): Promise<Uint8Array | undefined> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES)
      throw new CheckpointError(`${file}: ${size} bytes, a tokenizer may have at most ${MAX_BYTES}`);
    return await readFile(file);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw error;
  }
}

async function readText(file: string): Promise<string | undefined> {
  const bytes = await read(file);
  return bytes === undefined ? undefined : decode(file, bytes, (text) => text);
}

async function readJson(file: string): Promise<unknown> {
  const bytes = await read(file);
  return bytes === undefined ? undefined : decode(file, bytes, JSON.parse, "JSON");
}

function decode<T>(file: string, bytes: Uint8Array, parse: (text: string) => T, what = "UTF-8"): T {
  try {
    return parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CheckpointError(
      `${file}: not ${what}: ${messageOf(cause)}; the file may be truncated, fetch it again`,
      { cause },
    );
  }
}

/** `tokenizer_config.json`, and of `special_tokens_map.json` (older folders) what it leaves out. */
async function readConfig(folder: string, configFile: string): Promise<unknown> {
  const config = (await readJson(configFile)) ?? {};
  const named = (await readJson(join(folder, "special_tokens_map.json"))) ?? {};
  const isObject = (json: unknown) => typeof json === "object" && json !== null && !Array.isArray(json);
  return isObject(config) && isObject(named) ? { ...named, ...config } : config;
}

/**
 * Opens the tokenizer of a model's folder: `tokenizer.model` (SentencePiece BPE) if there is one, else `tokenizer.json`,
 * else `vocab.json` with `merges.txt` (Qwen2). `tokenizer_config.json`, `special_tokens_map.json` and
 * `added_tokens.json`, where present, name the added tokens. Throws CheckpointError or ConfigError.
 */
export async function openTokenizer(folder: string): Promise<Tokenizer> {
  const at = (name: string) => join(folder, name);
  const configFile = at("tokenizer_config.json");
  const config = parseTokenizerConfig(await readConfig(folder, configFile), configFile);
  const addedTokens = parseAddedTokens(
    (await readJson(at("added_tokens.json"))) ?? {},
    at("added_tokens.json"),
  );
  const modelFile = at("tokenizer.model");
  const model = await read(modelFile);
  if (model !== undefined)
    return sentencePieceTokenizer(parseSentencePieceModel(model, modelFile), {
      added: collectAddedTokens([], config, addedTokens, modelFile),
      ends: {
        bos: config.bos_token,
        eos: config.eos_token,
        pad: config.pad_token,
        ...addedEnds(config, undefined),
      },
      prefixAfterAdded: config.legacy ?? true,
      markers: namedTokens({
        ...config,
        // LlamaTokenizer's own, where the configuration names none.
        bos_token: config.bos_token ?? "<s>",
        eos_token: config.eos_token ?? "</s>",
        unk_token: config.unk_token ?? "<unk>",
      }),
      where: modelFile,
    });
  const jsonFile = at("tokenizer.json");
  const json = await readJson(jsonFile);
  if (json !== undefined) return hfTokenizer(json, { config, addedTokens, where: jsonFile });
  const vocabFile = at("vocab.json");
  const [vocab, merges] = [await readJson(vocabFile), await readText(at("merges.txt"))];
  if (vocab !== undefined && merges !== undefined) {
    const kind = byteLevelKindOf(config.tokenizer_class, configFile);
    return hfTokenizer(byteLevelJson(kind, vocab, parseMerges(merges, at("merges.txt"))), {
      config,
      addedTokens,
      where: vocabFile,
    });
  }
  throw new CheckpointError(
    `${folder}: no tokenizer found, expected tokenizer.model, tokenizer.json, or vocab.json with merges.txt; copy it from the model's repository`,
  );
}
