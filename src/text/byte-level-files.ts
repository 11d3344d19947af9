import { CheckpointError, ConfigError } from "../core/errors.ts";
import { GPT2_WORDS, splitBy } from "./hf-pre-tokenizer.ts";

/** How Qwen2's tokenizer cuts a text into words (Qwen2Tokenizer, and the published tokenizer.json). */
const QWEN2_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** As Qwen2, with digits in groups of three (Llama-3's published tokenizer.json). */
const LLAMA3_WORDS = QWEN2_WORDS.replace("\\p{N}|", "\\p{N}{1,3}|");

/** As Llama-3, with words cut where capitals begin (o200k_harmony, gpt-oss's published tokenizer.json). */
const GPT_OSS_WORDS = (() => {
  const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
  const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
  const end = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
  const before = "[^\\r\\n\\p{L}\\p{N}]?";
  return `${before}${upper}*${lower}+${end}|${before}${upper}+${lower}*${end}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
})();

/** What a kind of byte-level BPE does before merging. */
export interface ByteLevelKind {
  readonly words: string;
  /** Every digit is a word before anything else. */
  readonly digits?: boolean;
  readonly nfc?: boolean;
  readonly ignoreMerges?: boolean;
}

export const QWEN2: ByteLevelKind = { words: QWEN2_WORDS, nfc: true };
export const LLAMA3: ByteLevelKind = { words: LLAMA3_WORDS, ignoreMerges: true };
export const GPT_OSS: ByteLevelKind = { words: GPT_OSS_WORDS, ignoreMerges: true };
export const GPT2: ByteLevelKind = { words: GPT2_WORDS };
export const SMOLLM: ByteLevelKind = { words: GPT2_WORDS, digits: true };

/** The `tokenizer.json` that a byte-level vocabulary of this kind is published with, without its added tokens. */
export function byteLevelJson(
  { words, digits = false, nfc = false, ignoreMerges = false }: ByteLevelKind,
  vocab: unknown,
  merges: readonly string[],
): object {
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const cutDigits = digits ? [{ type: "Digits", individual_digits: true }] : [];
  return {
    normalizer: nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...cutDigits, splitBy(words), bytes] },
    decoder: bytes,
    model: { type: "BPE", vocab, merges, ignore_merges: ignoreMerges },
  };
}

const CLASSES: Readonly<Record<string, ByteLevelKind>> = {
  Qwen2Tokenizer: QWEN2,
  Qwen2TokenizerFast: QWEN2,
  GPT2Tokenizer: GPT2,
  GPT2TokenizerFast: GPT2,
};

/** The kind of a folder with `vocab.json` and `merges.txt`, by `tokenizer_class`. Throws ConfigError for another class. */
export function byteLevelKindOf(tokenizerClass: string | null | undefined, where: string): ByteLevelKind {
  const kind = Object.hasOwn(CLASSES, tokenizerClass ?? "") ? CLASSES[tokenizerClass ?? ""] : undefined;
  if (kind !== undefined) return kind;
  throw new ConfigError(
    `${where}: tokenizer_class is ${JSON.stringify(tokenizerClass ?? null)}, expected ${Object.keys(CLASSES).join(", ")} for vocab.json and merges.txt; add the folder's tokenizer.json, which says how the texts are cut`,
  );
}

/** The merges of a `merges.txt`: two tokens a line, after a line with the version. Throws CheckpointError. */
export function parseMerges(text: string, where = "merges.txt"): string[] {
  const merges = text
    .split(/\r?\n/)
    .filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
  const bad = merges.findIndex((line) => !/^[^ ]+ [^ ]+$/.test(line));
  if (bad >= 0)
    throw new CheckpointError(
      `${where}: merge ${bad + 1} is ${JSON.stringify(merges[bad]!.slice(0, 80))}, expected two tokens with a space between them`,
    );
  return merges;
}
