import { z } from "zod";
import { CheckpointError } from "../core/errors.ts";
import { ComposedTokenizer } from "./composed-tokenizer.ts";
import { type HfModel, hfVocabulary } from "./hf-vocabulary.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  AddedTokenList,
  addedEnds,
  addedToken,
  collectAddedTokens,
  MAX_ID,
  parseTokenizerConfig,
  type TokenizerConfig,
} from "./tokenizer-config.ts";

/** Checks of lists with 100,000 entries: a schema for each of them takes half a second. */
const isRecord = (json: unknown): json is Record<string, unknown> =>
  typeof json === "object" && json !== null && !Array.isArray(json);
const isId = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) <= MAX_ID;
const Vocab = z.custom<Readonly<Record<string, number>>>(
  (json) => isRecord(json) && Object.values(json).every(isId),
  `expected tokens with ids from 0 to ${MAX_ID}`,
);
const isMerge = (json: unknown) =>
  typeof json === "string" || (Array.isArray(json) && json.every((half) => typeof half === "string"));
const Merges = z.custom<(string | string[])[]>(
  (json) => Array.isArray(json) && json.length <= MAX_ID && json.every(isMerge),
  "expected pairs of tokens",
);

/** As much of `tokenizer.json` as must be true before the library may see it. */
const TokenizerFile = z.looseObject({
  added_tokens: AddedTokenList.default([]),
  model: z.looseObject({
    // Files of before 2020 leave it out. For a type it does not know the library would guess.
    type: z.enum(["BPE", "Unigram", "WordPiece"]).optional(),
    // A list of [piece, score] for unigram models.
    vocab: z.union([z.array(z.unknown()).max(MAX_ID), Vocab]),
    merges: Merges.optional(),
  }),
  normalizer: z.unknown().default(null),
  pre_tokenizer: z.unknown().default(null),
  post_processor: z.unknown().default(null),
  decoder: z.unknown().default(null),
});

export interface HfTokenizerOptions {
  /** A checked `tokenizer_config.json`. */
  readonly config?: TokenizerConfig;
  /** A parsed `added_tokens.json`: more added tokens, by spelling. */
  readonly addedTokens?: Readonly<Record<string, number>>;
  /** Begins messages: the file's path. */
  readonly where?: string;
}

/**
 * A `tokenizer.json`: byte-level BPE (Qwen, Llama-3, gpt-oss) and SentencePiece's BPE in this form are encoded here,
 * other algorithms by `@huggingface/tokenizers`. The same ids as huggingface/tokenizers 0.23 in Python for the published
 * vocabularies of Qwen3, Llama-3, gpt-oss, InternLM2 and LLaMA-2 (2,630 texts each); fixtures pin small ones. BOS and EOS
 * come from `encode`'s options alone: the file's template only says whether the published tokenizer adds them.
 *
 * `tokenizerJson` is the parsed file, untrusted. Throws CheckpointError for a tokenizer that cannot be used.
 */
export function hfTokenizer(
  tokenizerJson: unknown,
  { config = parseTokenizerConfig({}), addedTokens = {}, where = "tokenizer.json" }: HfTokenizerOptions = {},
): Tokenizer {
  const file = TokenizerFile.safeParse(tokenizerJson);
  if (!file.success) {
    const problems = file.error.issues.slice(0, 5).map((i) => `${i.path.join(".") || "file"}: ${i.message}`);
    throw new CheckpointError(`${where}: not a tokenizer.json: ${problems.join("; ")}`);
  }
  const own = file.data.added_tokens.map((entry) => addedToken(entry.id, entry));
  const added = collectAddedTokens(own, config, addedTokens, where);
  const model: HfModel = { ...file.data, config, added };
  const template = templateEnds(file.data.post_processor);
  const ends = {
    bos: config.bos_token ?? template?.before,
    eos: config.eos_token ?? template?.after,
    pad: config.pad_token,
  };
  const tokenizer = new ComposedTokenizer(
    hfVocabulary(model, where),
    added,
    {
      ...ends,
      ...addedEnds(
        config,
        template && {
          bos: template.before !== undefined && template.before === ends.bos,
          eos: template.after !== undefined && template.after === ends.eos,
        },
      ),
    },
    where,
  );
  checkNamed(tokenizer, config, where);
  return tokenizer;
}

const SpecialStep = z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }) });
const Template = z.looseObject({ type: z.literal("TemplateProcessing"), single: z.array(z.unknown()) });
const Processors = z.looseObject({ type: z.literal("Sequence"), processors: z.array(z.unknown()) });

/** The token right before and right after a text in the file's template; undefined when there is no template. */
function templateEnds(
  json: unknown,
): { readonly before: string | undefined; readonly after: string | undefined } | undefined {
  const sequence = Processors.safeParse(json);
  for (const processor of sequence.success ? sequence.data.processors : [json]) {
    const template = Template.safeParse(processor);
    if (!template.success) continue;
    const steps = template.data.single.map((step) => SpecialStep.safeParse(step).data?.SpecialToken.id);
    const text = steps.indexOf(undefined);
    if (text >= 0) return { before: steps[text - 1], after: steps[text + 1] };
  }
  return undefined;
}

function checkNamed(tokenizer: Tokenizer, config: TokenizerConfig, where: string): void {
  const { bos_token, eos_token, pad_token, unk_token } = config;
  const missing = Object.entries({ bos_token, eos_token, pad_token, unk_token }).filter(
    ([, token]) => token && tokenizer.idOf(token) === undefined,
  );
  if (missing.length > 0)
    throw new CheckpointError(
      `${where}: the vocabulary lacks ${missing.map(([k, token]) => `${k} ${JSON.stringify(token)}`).join(", ")}, named in tokenizer_config.json; do both files come from one model?`,
    );
}
