import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, messageOf } from "../core/errors.ts";
import { HfTokenizer } from "./hf-tokenizer.ts";
import { parseSentencePieceModel } from "./sentencepiece-model.ts";
import { SentencePieceTokenizer } from "./sentencepiece-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { addedPieces, parseTokenizerConfig } from "./tokenizer-config.ts";

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

async function readJson(file: string): Promise<unknown> {
  const bytes = await read(file);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CheckpointError(
      `${file}: not JSON: ${messageOf(cause)}; the file may be truncated, fetch it again`,
      {
        cause,
      },
    );
  }
}

/**
 * Opens the tokenizer of a model's folder: `tokenizer.model` (SentencePiece BPE) if there is one, else `tokenizer.json`;
 * `tokenizer_config.json`, where present, names the special pieces. Throws CheckpointError or ConfigError.
 */
export async function openTokenizer(folder: string): Promise<Tokenizer> {
  const configFile = join(folder, "tokenizer_config.json");
  const configJson = (await readJson(configFile)) ?? {};
  const config = parseTokenizerConfig(configJson, configFile);
  const modelFile = join(folder, "tokenizer.model");
  const model = await read(modelFile);
  if (model !== undefined) {
    const { bos_token: bosPiece, eos_token: eosPiece, pad_token: padPiece } = config;
    return new SentencePieceTokenizer(parseSentencePieceModel(model, modelFile), {
      special: addedPieces(config),
      ...(bosPiece !== undefined && { bosPiece }),
      ...(eosPiece !== undefined && { eosPiece }),
      ...(padPiece !== undefined && { padPiece }),
      prefixAfterSpecial: config.legacy ?? true,
    });
  }
  const jsonFile = join(folder, "tokenizer.json");
  const json = await readJson(jsonFile);
  if (json === undefined)
    throw new CheckpointError(
      `${folder}: no tokenizer found, expected tokenizer.model or tokenizer.json; copy it from the model's repository`,
    );
  return new HfTokenizer(json, configJson, jsonFile);
}
