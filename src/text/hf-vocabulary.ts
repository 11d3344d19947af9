import { Tokenizer as Tokenizers } from "@huggingface/tokenizers";
import { z } from "zod";
import { CheckpointError, messageOf, UsageError } from "../core/errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import { BpeVocabulary } from "./bpe-vocabulary.ts";
import { bytesOfToken, toByteChars } from "./byte-alphabet.ts";
import type { Vocabulary } from "./composed-tokenizer.ts";
import { type WordSteps, wordSteps } from "./hf-pre-tokenizer.ts";
import { SPACE } from "./sentencepiece-model.ts";
import { ByteStream, PieceStream, type TokenStream, WholeStream } from "./stream-decoder.ts";
import type { TokenizerConfig } from "./tokenizer-config.ts";
import { WordCutter } from "./word-cutter.ts";

/** A checked `tokenizer.json` with what its folder adds to it. */
export interface HfModel {
  readonly model: {
    readonly type?: string | undefined;
    readonly vocab: Readonly<Record<string, number>> | readonly unknown[];
    readonly merges?: readonly (string | readonly string[])[] | undefined;
    readonly [field: string]: unknown;
  };
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly decoder: unknown;
  readonly added: readonly AddedToken[];
  readonly config: TokenizerConfig;
}

/** The parts of the library's class that are used; its own type declarations do not resolve under `nodenext`. */
interface Library {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  readonly model: ((words: string[]) => string[]) & {
    readonly vocab: readonly (string | undefined)[];
    readonly unk_token_id: number | undefined;
    readonly end_of_word_suffix: string | undefined;
  };
  readonly decoder: ((tokens: string[]) => string) | null;
  token_to_id(token: string): number | undefined;
}

/** The vocabulary of a `tokenizer.json` behind one interface. Throws CheckpointError; `where` begins the message. */
export function hfVocabulary(file: HfModel, where: string): Vocabulary {
  const { model, added } = file;
  const steps = wordSteps(file.pre_tokenizer, where);
  const plain =
    (model.type === "BPE" || (model.type === undefined && model.merges !== undefined)) &&
    !Array.isArray(model.vocab) &&
    ["dropout", "continuing_subword_prefix", "end_of_word_suffix"].every((field) => !model[field]);
  // The library keeps what it does besides merging: a vocabulary of its own it gets only where it merges, too.
  const library = open(
    {
      normalizer: file.normalizer,
      pre_tokenizer: plain ? steps.words : file.pre_tokenizer,
      decoder: file.decoder,
      post_processor: null,
      added_tokens: added.map(({ content, id, special }) => ({ content, id, special })),
      model: plain ? { type: "BPE", vocab: {}, merges: [] } : model,
    },
    file.config,
    where,
  );
  const tokens = plain ? bpeTokens(file, steps, library, where) : libraryTokens(library);
  const addedById = new Map(added.map((token) => [token.id, token.content]));
  const textOf = (id: number) => addedById.get(id) ?? tokens.tokenOf(id) ?? "";
  return {
    size: tokens.size,
    idOf: tokens.idOf,
    has: (id) => tokens.tokenOf(id) !== undefined,
    normalize: library.normalizer === null ? undefined : (text) => library.normalizer!(text),
    encode: tokens.encode,
    stream: streamOf(file.decoder, tokens.tokenOf, (ids) => decodeWhole(library, ids.map(textOf))),
  };
}

function open(json: object, config: TokenizerConfig, where: string): Library {
  try {
    return new Tokenizers(json, config) as unknown as Library;
  } catch (cause) {
    throw new CheckpointError(`${where}: this tokenizer is not supported: ${messageOf(cause)}`, { cause });
  }
}

type Tokens = Pick<Vocabulary, "size" | "idOf" | "encode"> & {
  tokenOf(id: number): string | undefined;
};

function wordsOf(library: Library, text: string, atStart: boolean): string[] {
  if (text === "") return [];
  // "first" of a Metaspace step is the first section of a text, added tokens being sections.
  return library.pre_tokenizer?.(text, { section_index: atStart ? 0 : 1 }) ?? [text];
}

function bpeTokens({ model }: HfModel, steps: WordSteps, library: Library, where: string): Tokens {
  const { ignore_merges, byte_fallback, unk_token, fuse_unk } = model;
  const bpe = new BpeVocabulary(
    Object.entries(model.vocab as Readonly<Record<string, number>>),
    model.merges ?? [],
    {
      ignoreMerges: ignore_merges === true,
      byteFallback: byte_fallback === true,
      unk: typeof unk_token === "string" ? unk_token : undefined,
      fuseUnk: fuse_unk === true,
    },
    where,
  );
  const spell = steps.bytes ? toByteChars : undefined;
  // Without a pre-tokenizer a text is one word, which may be cut where that changes nothing.
  const whole = steps.words === null && !steps.bytes && (fuse_unk !== true || byte_fallback === true);
  const cutter =
    whole && ignore_merges !== true ? new WordCutter(bpe.tokens.filter((t) => t !== undefined)) : undefined;
  return {
    size: bpe.size,
    idOf: (token) => bpe.idOf(token),
    tokenOf: (id) => bpe.tokens[id],
    encode(text, atStart) {
      const spaced = steps.prefixSpace && !text.startsWith(" ") ? ` ${text}` : text;
      const ids: number[] = [];
      for (const word of cutter?.words(spaced) ?? wordsOf(library, spaced, atStart))
        for (const id of bpe.encode(word, spell)) ids.push(id);
      return ids;
    },
  };
}

function libraryTokens(library: Library): Tokens {
  return {
    size: library.model.vocab.length,
    idOf: (token) => library.token_to_id(token),
    tokenOf: (id) => library.model.vocab[id],
    encode: (text, atStart) =>
      library.model(wordsOf(library, text, atStart)).map((token) => {
        const id = library.token_to_id(token) ?? library.model.unk_token_id;
        if (id !== undefined) return id;
        throw new UsageError(
          `encode: ${JSON.stringify(token)} is not in the vocabulary, and this tokenizer has no unknown piece`,
        );
      }),
  };
}

const DecoderStep = z.looseObject({ type: z.string() });
const Decoders = z.looseObject({ type: z.literal("Sequence"), decoders: z.array(DecoderStep) });

/** The steps that every converted SentencePiece model has; one leading space is taken off where the last is there. */
const PIECE_STEPS = ["Replace", "ByteFallback", "Fuse", "Strip"];

function streamOf(
  decoder: unknown,
  tokenOf: (id: number) => string | undefined,
  decodeAll: (ids: number[]) => string,
): () => TokenStream {
  if (DecoderStep.safeParse(decoder).data?.type === "ByteLevel")
    return () => new ByteStream((id) => bytesOfToken(tokenOf(id) ?? ""));
  const steps = Decoders.safeParse(decoder).data?.decoders;
  if (steps === undefined || !isPieceDecoder(steps)) return () => new WholeStream(decodeAll);
  const leadingSpace = steps.length === PIECE_STEPS.length ? "drop-one" : "keep";
  const textOf = (id: number) => {
    const token = tokenOf(id) ?? "";
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    return byte === undefined ? token : Number.parseInt(byte, 16);
  };
  return () => new PieceStream(textOf, { leadingSpace, afterAdded: false });
}

function isPieceDecoder(steps: readonly z.infer<typeof DecoderStep>[]): boolean {
  const [replace, , , strip] = steps;
  const replaces =
    z.looseObject({ String: z.literal(SPACE) }).safeParse(replace?.pattern).success &&
    replace?.content === " ";
  const strips = strip === undefined || (strip.content === " " && strip.start === 1 && strip.stop === 0);
  const known = steps.every((step, i) => step.type === PIECE_STEPS[i]) && steps.length >= 3;
  return known && replaces && strips;
}

function decodeWhole(library: Library, tokens: string[]): string {
  if (library.decoder === null) return tokens.join(" ");
  const suffix = library.model.end_of_word_suffix;
  const text = library.decoder(tokens);
  return suffix ? text.replaceAll(suffix, " ").trim() : text;
}
