import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import {
  type ByteLevelKind,
  byteLevelJson,
  GPT_OSS,
  GPT2,
  LLAMA3,
  QWEN2,
  SMOLLM,
} from "./byte-level-files.ts";
import { hfTokenizer } from "./hf-tokenizer.ts";
import { checkedSentencePieceModel, MODEL_DEFAULTS, type PieceType } from "./sentencepiece-model.ts";
import { sentencePieceTokenizer } from "./sentencepiece-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { MAX_ID, parseTokenizerConfig } from "./tokenizer-config.ts";

/** Values 1 to 6 of `tokenizer.ggml.token_type`, in order: SentencePiece's. */
const TYPES: readonly PieceType[] = ["normal", "unknown", "control", "user_defined", "unused", "byte"];

/** `tokenizer.ggml.pre`: how llama.cpp (llama-vocab.cpp) and the published tokenizers name the cutting of texts. */
const KINDS: Readonly<Record<string, ByteLevelKind>> = {
  qwen2: QWEN2,
  "deepseek-r1-qwen": QWEN2,
  "llama-bpe": LLAMA3,
  llama3: LLAMA3,
  "llama-v3": LLAMA3,
  "smaug-bpe": { ...LLAMA3, ignoreMerges: false },
  dbrx: { ...LLAMA3, ignoreMerges: false },
  "gpt-4o": GPT_OSS,
  "gpt-2": GPT2,
  smollm: SMOLLM,
};

/** Integers of 64 bits are read as bigint. */
const Int = z.union([z.bigint(), z.number()]).transform(Number).pipe(z.number().int().min(0).max(MAX_ID));
const list = <T>(is: (value: unknown) => value is T, what: string) =>
  z.custom<readonly T[]>(
    (json) => Array.isArray(json) && json.length <= MAX_ID && json.every(is),
    `expected a list of ${what}`,
  );
const isString = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number";

const Fields = z.looseObject({
  "tokenizer.ggml.model": z.string(),
  "tokenizer.ggml.pre": z.string().optional(),
  "tokenizer.ggml.tokens": list(isString, "texts"),
  "tokenizer.ggml.token_type": list(isNumber, "numbers").optional(),
  "tokenizer.ggml.scores": list(isNumber, "numbers").optional(),
  "tokenizer.ggml.merges": list(isString, "texts").optional(),
  "tokenizer.ggml.bos_token_id": Int.optional(),
  "tokenizer.ggml.eos_token_id": Int.optional(),
  "tokenizer.ggml.padding_token_id": Int.optional(),
  "tokenizer.ggml.unknown_token_id": Int.optional(),
  "tokenizer.ggml.add_bos_token": z.boolean().optional(),
  "tokenizer.ggml.add_eos_token": z.boolean().optional(),
  "tokenizer.ggml.add_space_prefix": z.boolean().optional(),
  "tokenizer.ggml.remove_extra_whitespaces": z.boolean().optional(),
});

type Gguf = z.infer<typeof Fields>;

/**
 * The tokenizer in the metadata of a GGUF file, given by the published keys (`tokenizer.ggml.model`, `.tokens`,
 * `.merges`, `.token_type`, …), untrusted. Models `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE); other fields
 * are left alone. Throws ConfigError for missing or impossible fields and for a cutting of texts (`pre`) that is not
 * known, CheckpointError for a vocabulary that does not fit together; `where` begins the message.
 *
 * Tokens of the types control and user-defined are the added tokens. The format does not say which of them take
 * whitespace along (Phi-3's do), and it is as old as it is silent about `legacy`: after an added token the text begins
 * with the dummy space, if there is one, as llama.cpp has it.
 */
export function ggufTokenizer(metadata: Readonly<Record<string, unknown>>, where = "GGUF"): Tokenizer {
  const parsed = Fields.safeParse(metadata);
  if (!parsed.success) {
    const problems = parsed.error.issues.slice(0, 5).map((i) => `${i.path.join(".")}: ${i.message}`);
    throw new ConfigError(`${where}: ${problems.join("; ")}`);
  }
  const gguf = parsed.data;
  const types = typesOf(gguf, where);
  const tokens = gguf["tokenizer.ggml.tokens"];
  const named = [
    gguf["tokenizer.ggml.bos_token_id"],
    gguf["tokenizer.ggml.eos_token_id"],
    gguf["tokenizer.ggml.padding_token_id"],
  ];
  const outside = named.find((id) => id !== undefined && id >= tokens.length);
  if (outside !== undefined)
    throw new ConfigError(
      `${where}: BOS, EOS or padding is token ${outside}, the list ends at ${tokens.length - 1}`,
    );
  const model = gguf["tokenizer.ggml.model"];
  if (model === "gpt2") return byteLevel(gguf, types, named, where);
  if (model === "llama") return sentencePiece(gguf, types, named, where);
  throw new ConfigError(`${where}: tokenizer.ggml.model is ${JSON.stringify(model)}, expected gpt2 or llama`);
}

function typesOf(gguf: Gguf, where: string): readonly PieceType[] {
  const tokens = gguf["tokenizer.ggml.tokens"];
  for (const key of ["tokenizer.ggml.token_type", "tokenizer.ggml.scores"] as const) {
    const length = gguf[key]?.length ?? tokens.length;
    if (length !== tokens.length)
      throw new ConfigError(`${where}: ${key} has ${length} entries, tokenizer.ggml.tokens ${tokens.length}`);
  }
  const numbers = gguf["tokenizer.ggml.token_type"];
  return tokens.map((token, id) => {
    const type = numbers === undefined ? "normal" : TYPES[numbers[id]! - 1];
    if (type !== undefined) return type;
    throw new ConfigError(
      `${where}: token ${id}, ${JSON.stringify(token)}, has the unknown type ${numbers?.[id]}`,
    );
  });
}

function addedTokens(tokens: readonly string[], types: readonly PieceType[]): AddedToken[] {
  const flags = { lstrip: false, rstrip: false, singleWord: false, normalized: false };
  return tokens.flatMap((content, id) =>
    (types[id] === "control" || types[id] === "user_defined") && content !== ""
      ? [{ content, id, special: types[id] === "control", ...flags }]
      : [],
  );
}

type Named = readonly (number | undefined)[];

function byteLevel(gguf: Gguf, types: readonly PieceType[], named: Named, where: string): Tokenizer {
  const pre = gguf["tokenizer.ggml.pre"] ?? "gpt-2";
  const kind = Object.hasOwn(KINDS, pre) ? KINDS[pre] : undefined;
  if (kind === undefined)
    throw new ConfigError(
      `${where}: tokenizer.ggml.pre is ${JSON.stringify(pre)}, expected one of ${Object.keys(KINDS).join(", ")}`,
    );
  const merges = gguf["tokenizer.ggml.merges"];
  if (merges === undefined) throw new ConfigError(`${where}: tokenizer.ggml.merges is missing`);
  const tokens = gguf["tokenizer.ggml.tokens"];
  const added = addedTokens(tokens, types);
  const vocab = Object.fromEntries(
    tokens.flatMap((token, id) =>
      types[id] === "normal" || types[id] === "unknown" ? [[token, id] as const] : [],
    ),
  );
  const [bos, eos, pad] = named.map((id) => (id === undefined ? undefined : tokens[id]));
  const json = {
    ...byteLevelJson(kind, vocab, merges),
    added_tokens: added.map((t) => ({ id: t.id, content: t.content, special: t.special, normalized: false })),
  };
  const config = parseTokenizerConfig({
    bos_token: bos,
    eos_token: eos,
    pad_token: pad,
    add_bos_token: gguf["tokenizer.ggml.add_bos_token"] ?? false,
    add_eos_token: gguf["tokenizer.ggml.add_eos_token"] ?? false,
  });
  return hfTokenizer(json, { config, where });
}

function sentencePiece(gguf: Gguf, types: readonly PieceType[], named: Named, where: string): Tokenizer {
  const tokens = gguf["tokenizer.ggml.tokens"];
  const scores = gguf["tokenizer.ggml.scores"];
  if (scores === undefined) throw new ConfigError(`${where}: tokenizer.ggml.scores is missing`);
  // A file that was made of a tokenizer.json calls the unknown piece a control piece like the others.
  const unknown = types.includes("unknown") ? undefined : gguf["tokenizer.ggml.unknown_token_id"];
  // Added tokens are found in the text; as user-defined pieces they would be found where they are meant literally, too.
  const typeOf = (id: number) =>
    id === unknown ? "unknown" : types[id] === "user_defined" ? "control" : types[id]!;
  const model = checkedSentencePieceModel(
    {
      ...MODEL_DEFAULTS,
      byteFallback: types.includes("byte"),
      addDummyPrefix: gguf["tokenizer.ggml.add_space_prefix"] ?? true,
      removeExtraWhitespaces: gguf["tokenizer.ggml.remove_extra_whitespaces"] ?? false,
      pieces: tokens.map((piece, id) => ({ piece, score: scores[id]!, type: typeOf(id) })),
    },
    where,
  );
  const [bos, eos, pad] = named.map((id) => (id === undefined ? undefined : tokens[id]));
  return sentencePieceTokenizer(model, {
    added: addedTokens(tokens, types),
    ends: {
      ...{ bos, eos, pad },
      addsBos: gguf["tokenizer.ggml.add_bos_token"] ?? true,
      addsEos: gguf["tokenizer.ggml.add_eos_token"] ?? false,
    },
    where,
  });
}
