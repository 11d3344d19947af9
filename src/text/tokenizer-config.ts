import { z } from "zod";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import type { AddedToken } from "./added-tokens.ts";

const Token = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((token) => (typeof token === "string" ? token : token?.content));

/** Highest id that a piece may have: larger ones would be a lie that costs memory. */
export const MAX_ID = 2 ** 22;

const Id = z.coerce.number().int().min(0).max(MAX_ID);

const AddedTokenEntry = z.looseObject({
  content: z.string().min(1),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  single_word: z.boolean().optional(),
  normalized: z.boolean().optional(),
  special: z.boolean().optional(),
});

/** An added token as the files write it; what is left out counts as in huggingface/tokenizers. */
export function addedToken(id: number, entry: z.infer<typeof AddedTokenEntry>, named = false): AddedToken {
  const special = entry.special === true || named;
  return {
    content: entry.content,
    id,
    special,
    lstrip: entry.lstrip ?? false,
    rstrip: entry.rstrip ?? false,
    singleWord: entry.single_word ?? false,
    normalized: entry.normalized ?? !special,
  };
}

/** The list `added_tokens` of a `tokenizer.json`. */
export const AddedTokenList = z.array(AddedTokenEntry.extend({ id: z.number().int().min(0).max(MAX_ID) }));

/** The fields of `tokenizer_config.json` that decide about ids; the file holds many others, which are left alone. */
const TokenizerConfigFile = z.looseObject({
  tokenizer_class: z.string().nullish(),
  bos_token: Token,
  eos_token: Token,
  pad_token: Token,
  unk_token: Token,
  additional_special_tokens: z.union([z.array(Token), z.record(z.string(), Token)]).nullish(),
  added_tokens_decoder: z.record(Id, AddedTokenEntry).optional(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  legacy: z.boolean().nullish(),
});

export type TokenizerConfig = z.infer<typeof TokenizerConfigFile>;

function parse<T>(type: z.ZodType<T>, json: unknown, where: string): T {
  const result = type.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues
    .slice(0, 5)
    .map((i) => `${i.path.join(".") || "the file"}: ${i.message}`);
  throw new ConfigError(`${where}: ${problems.join("; ")}`);
}

/** Checks a parsed `tokenizer_config.json`. Throws ConfigError with its problems; `where` is the file's path. */
export const parseTokenizerConfig = (json: unknown, where = "tokenizer_config.json"): TokenizerConfig =>
  parse(TokenizerConfigFile, json, where);

/** Checks a parsed `added_tokens.json`: spellings and ids. Throws ConfigError. */
export const parseAddedTokens = (
  json: unknown,
  where = "added_tokens.json",
): Readonly<Record<string, number>> => parse(z.record(z.string().min(1), Id), json, where);

/** Tokens that the configuration names as markers, whatever their own entries say. */
export function namedTokens({
  bos_token,
  eos_token,
  pad_token,
  unk_token,
  ...config
}: TokenizerConfig): Set<string> {
  const additional = Object.values(config.additional_special_tokens ?? {});
  return new Set([bos_token, eos_token, pad_token, unk_token, ...additional].filter((t) => t !== undefined));
}

/**
 * All added tokens of a folder, by spelling: those of the tokenizer itself, of `added_tokens_decoder`, and of
 * `added_tokens.json`, which has ids only. The same token may be in several; then the configuration's flags count.
 * Throws CheckpointError when they disagree about an id; `where` is the tokenizer's file.
 */
export function collectAddedTokens(
  own: Iterable<AddedToken>,
  config: TokenizerConfig,
  addedTokensJson: Readonly<Record<string, number>>,
  where: string,
): AddedToken[] {
  const named = namedTokens(config);
  const tokens = new Map<string, AddedToken>();
  const add = (token: AddedToken) => {
    const other = tokens.get(token.content);
    if (other !== undefined && other.id !== token.id)
      throw new CheckpointError(
        `${where}: the added token ${JSON.stringify(token.content)} has the id ${other.id} in one file and ${token.id} in another; do the files come from one model?`,
      );
    tokens.set(token.content, token);
  };
  for (const token of own)
    add(token.special || !named.has(token.content) ? token : { ...token, special: true });
  for (const [id, entry] of Object.entries(config.added_tokens_decoder ?? {}))
    add(addedToken(Number(id), entry, named.has(entry.content)));
  for (const [content, id] of Object.entries(addedTokensJson))
    if (tokens.get(content)?.id !== id) add(addedToken(id, { content }, named.has(content)));
  return [...tokens.values()];
}

/** Classes that put BOS before a text unless `add_bos_token` says otherwise. */
const ADDS_BOS = /^(Llama|CodeLlama|InternLM|InternLM2|InternLM3)Tokenizer(Fast)?$/;

/**
 * Whether texts get BOS and EOS: what the configuration says; else what the file's own template says, if it has one;
 * else what the class does.
 */
export function addedEnds(
  config: TokenizerConfig,
  template: { readonly bos: boolean; readonly eos: boolean } | undefined,
): { addsBos: boolean; addsEos: boolean } {
  return {
    addsBos: config.add_bos_token ?? template?.bos ?? ADDS_BOS.test(config.tokenizer_class ?? ""),
    addsEos: config.add_eos_token ?? template?.eos ?? false,
  };
}
