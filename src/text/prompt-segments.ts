import { UsageError } from "../core/errors.ts";

/**
 * A stretch of a prompt. `special`: `text` is the spelling of exactly one of the tokenizer's added tokens and becomes its
 * id. Otherwise nothing in `text` is a token, whatever it spells.
 *
 * What a tokenizer must do with a list of them: give the ids that `encode` gives for the joined text, except that its
 * search for added tokens is replaced by these borders. All else stays as it is there: normalisation and pre-tokens of a
 * plain stretch, the dummy space of SentencePiece at the beginning (and after a special piece where that is published),
 * `lstrip` and `rstrip` of the pieces beside it, BOS before the first. Plain stretches are as long as they can be: two of
 * them never touch, so that `\nHi` of a role's line break and a user's word meets the pre-tokeniser in one piece.
 */
export interface TextSegment {
  readonly text: string;
  readonly special: boolean;
}

/** Where the tokens of a block of pictures go; `block` counts from 0 in reading order. */
export interface ImageSegment {
  readonly block: number;
}

export type PromptSegment = TextSegment | ImageSegment;

/** A prompt whose pictures are not cut into tiles yet. `P` is whatever the caller holds a picture by. */
export interface Prompt<P> {
  readonly segments: readonly PromptSegment[];
  /** Pictures in reading order. A block has one, or all pictures of a message that share one placeholder. */
  readonly blocks: readonly (readonly P[])[];
}

/** A stretch of a prompt before its tokens are found: `own` text was written by the template, other text by anybody. */
export type PromptPiece = { readonly text: string; readonly own: boolean } | ImageSegment;

/** The tokens around and for the features of a block of tiles. HF repositories may name others in their tokenizer. */
export interface ImageTokens {
  readonly start: string;
  readonly context: string;
  readonly end: string;
}

export const IMAGE_TOKENS: ImageTokens = { start: "<img>", context: "<IMG_CONTEXT>", end: "</img>" };

/** How a block of pictures is written where people read a prompt. */
export const IMAGE_PLACEHOLDER = "<image>";

/** Grounding marks. Special pieces in every chat tokenizer: decoding must keep them although it drops other specials. */
export const GROUNDING_TAGS = ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"] as const;

/** Marks of a thinking section; pieces of their own in the tokenizers of Qwen3. */
export const THINK_TAGS = ["<think>", "</think>"] as const;

/**
 * Tokens that belong to what is said and not to who says it. A message may spell them, as the published prompts do; they
 * can neither end a turn nor stand for a picture.
 */
export const CONTENT_TAGS: readonly string[] = [...GROUNDING_TAGS, ...THINK_TAGS];

/** More image tokens than any published context length holds: a larger number is a mistake and would cost memory. */
const MAX_IMAGE_TOKENS = 2 ** 20;

/** A pattern of the spellings, the longest first, in a group that `split` keeps; undefined for none. */
export function spellingPattern(spellings: Iterable<string>): RegExp | undefined {
  const distinct = [...new Set(spellings)].filter((s) => s !== "").sort((a, b) => b.length - a.length);
  if (distinct.length === 0) return undefined;
  return new RegExp(`(${distinct.map((s) => s.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|")})`);
}

/**
 * Finds the tokens in pieces of a prompt and joins all that lies between two of them. `specials`: the tokenizer's added
 * tokens by spelling; in text that is not the template's own, only those that are in `contentTags` too are tokens.
 */
export function segmentPieces(
  pieces: Iterable<PromptPiece>,
  specials: ReadonlySet<string>,
  contentTags: readonly string[] = CONTENT_TAGS,
): PromptSegment[] {
  const ownPattern = spellingPattern(specials);
  const saidPattern = spellingPattern(contentTags.filter((tag) => specials.has(tag)));
  const segments: PromptSegment[] = [];
  let plain = "";
  const flush = () => {
    if (plain !== "") segments.push({ text: plain, special: false });
    plain = "";
  };
  for (const piece of pieces) {
    if ("block" in piece) {
      flush();
      segments.push(piece);
      continue;
    }
    const pattern = piece.own ? ownPattern : saidPattern;
    // Every second part is a token: that is what split does with a captured separator.
    for (const [i, part] of (pattern ? piece.text.split(pattern) : [piece.text]).entries()) {
      if (i % 2 === 0) plain += part;
      else {
        flush();
        segments.push({ text: part, special: true });
      }
    }
  }
  flush();
  return segments;
}

export interface ExpandOptions {
  /** Features of a tile: (image size / patch size · downsample ratio)², 256 in every published chat model. */
  readonly tokensPerTile?: number;
  readonly tokens?: ImageTokens;
}

/**
 * The prompt as the tokenizer takes it: each block of pictures as `<img>`, one context token a feature of its tiles, and
 * `</img>`. `tiles`: tiles of each block, thumbnails included. Throws UsageError for counts that do not fit the prompt.
 */
export function expandImages<P>(
  prompt: Prompt<P>,
  tiles: readonly number[],
  { tokensPerTile = 256, tokens = IMAGE_TOKENS }: ExpandOptions = {},
): TextSegment[] {
  if (tiles.length !== prompt.blocks.length)
    throw new UsageError(
      `expandImages: ${tiles.length} counts of tiles for a prompt with ${prompt.blocks.length} blocks of pictures`,
    );
  const wrong = tiles.find((n) => !Number.isSafeInteger(n) || n < 1);
  if (wrong !== undefined)
    throw new UsageError(`expandImages: a block of ${wrong} tiles, expected an integer of at least 1`);
  const total = tiles.reduce((sum, n) => sum + n, 0) * tokensPerTile;
  if (!(total <= MAX_IMAGE_TOKENS))
    throw new UsageError(
      `expandImages: ${total} image tokens, expected at most ${MAX_IMAGE_TOKENS}; pass fewer pictures or tiles`,
    );
  const start = { text: tokens.start, special: true };
  const context = { text: tokens.context, special: true };
  const end = { text: tokens.end, special: true };
  return prompt.segments.flatMap((segment) => {
    if (!("block" in segment)) return [segment];
    const count = tiles[segment.block]! * tokensPerTile;
    return [start, ...new Array<TextSegment>(count).fill(context), end];
  });
}

/**
 * The prompt as one string, blocks of pictures as `<image>`. For people and tests only: here a token and a text that
 * spells it look the same.
 */
export function promptText(segments: Iterable<PromptSegment>): string {
  let text = "";
  for (const segment of segments) text += "block" in segment ? IMAGE_PLACEHOLDER : segment.text;
  return text;
}
