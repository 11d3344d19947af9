import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { SpecialPiece } from "./sentencepiece-tokenizer.ts";

const Token = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((token) => (typeof token === "string" ? token : token?.content));

const AddedToken = z.looseObject({
  content: z.string().min(1),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
});

/** Highest id that a piece may have: larger ones would be a lie that costs memory. */
export const MAX_ID = 2 ** 22;

const Id = z.coerce.number().int().min(0).max(MAX_ID);

/** The fields of `tokenizer_config.json` that decide about ids; the file holds many others, which are left alone. */
const TokenizerConfigFile = z.looseObject({
  bos_token: Token,
  eos_token: Token,
  pad_token: Token,
  unk_token: Token,
  added_tokens_decoder: z.record(Id, AddedToken).optional(),
  legacy: z.boolean().nullish(),
});

export type TokenizerConfig = z.infer<typeof TokenizerConfigFile>;

/** Checks a parsed `tokenizer_config.json`. Throws ConfigError with every problem; `where` is the file's path. */
export function parseTokenizerConfig(json: unknown, where = "tokenizer_config.json"): TokenizerConfig {
  const result = TokenizerConfigFile.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((i) => `${i.path.join(".") || "the file"}: ${i.message}`);
  throw new ConfigError(`${where}: ${problems.join("; ")}`);
}

/** The added pieces of a configuration, by spelling. */
export function addedPieces({ added_tokens_decoder = {} }: TokenizerConfig): Map<string, SpecialPiece> {
  return new Map(
    Object.entries(added_tokens_decoder).map(([id, { content, lstrip = false, rstrip = false }]) => [
      content,
      { id: Number(id), lstrip, rstrip },
    ]),
  );
}
