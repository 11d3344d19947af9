import { UsageError } from "../core/errors.ts";
import { chatTemplate } from "./chat-templates.ts";
import { type ChatMessage, composePrompt } from "./conversation.ts";
import { encodePrompt } from "./encode-prompt.ts";
import { expandImages, IMAGE_TOKENS, type TextSegment } from "./prompt-segments.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Templates whose answers can be trained: each begins a turn as the prompt opens it, and ends it with one token. */
export const SFT_TEMPLATES = ["internvl2_5", "Hermes-2", "internlm2-chat", "phi3-chat"] as const;
export type SftTemplate = (typeof SFT_TEMPLATES)[number];

/** What labels hold where a token is not trained. */
export const IGNORED = -100;

/** A conversation as a model is trained on it. */
export interface TrainingText {
  readonly ids: readonly number[];
  /** The ids of trained tokens, {@link IGNORED} elsewhere. Position i predicts label i + 1. */
  readonly labels: readonly number[];
}

export interface TrainingTextOptions {
  readonly template: SftTemplate;
  /** `system_message` of the configuration. */
  readonly systemMessage: string | null | undefined;
  readonly tokensPerTile: number;
}

/**
 * The ids and labels of a conversation that ends with the assistant. Trained are the assistant's words and the token
 * that ends its turn; system and user messages, the role's name before an answer and what follows the end token are not
 * (OpenGVLab/InternVL, internvl/train/dataset.py, preprocess_*). Pictures are one tile each.
 *
 * An answer begins where the prompt that precedes it ends, in the very ids that the model is given in use. Throws
 * UsageError for a conversation that composePrompt refuses, one without an answer at its end, and an answer that
 * changes the ids of its own prompt (the published code leaves such rows out by a mismatch of lengths).
 */
export function encodeTraining(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage<unknown>[],
  options: TrainingTextOptions,
): TrainingText {
  if (messages.at(-1)?.role !== "assistant")
    throw new UsageError("the last message is not the assistant's; a row to train on ends with an answer");
  const encode = (part: readonly ChatMessage<unknown>[]) =>
    encodePrompt(tokenizer, trainingSegments(tokenizer, part, options));
  const ids = encode(messages);
  const end = tokenizer.idOf(endOfTurn(options.template))!;
  const labels = new Array<number>(ids.length).fill(IGNORED);
  for (const [i, { role }] of messages.entries()) {
    if (role !== "assistant") continue;
    if (messages[i - 1]?.role !== "user")
      throw new UsageError(`message ${i}: an answer that follows no message of the user`);
    const prompt = encode(messages.slice(0, i));
    if (prompt.some((id, at) => ids[at] !== id))
      throw new UsageError(`message ${i}: the answer's first characters join with the tokens before it`);
    const last = ids.indexOf(end, prompt.length);
    for (let at = prompt.length; at <= last; at++) labels[at] = ids[at]!;
  }
  return { ids, labels };
}

/** The stretches of a conversation's text between its tokens, as a tokenizer is trained on them. */
export function* plainStretches(
  messages: readonly ChatMessage<unknown>[],
  options: TrainingTextOptions,
): Generator<string> {
  const specials = new Set(specialSpellings(options.template));
  for (const { text, special } of segmentsOf(specials, messages, options)) if (!special) yield text;
}

/** Tokens that a tokenizer needs for a template beside its vocabulary, with those around pictures. */
export function specialSpellings(template: SftTemplate): string[] {
  const { system, user, assistant, afterAnswer } = chatTemplate(template);
  const own = [system, user, assistant, afterAnswer].flatMap((text) => text.match(/<\|[^|]+\|>/g) ?? []);
  const { start, end, context } = IMAGE_TOKENS;
  return [...new Set([...own, start, end, context])];
}

const trainingSegments = (
  tokenizer: Tokenizer,
  messages: readonly ChatMessage<unknown>[],
  options: TrainingTextOptions,
): TextSegment[] => segmentsOf(tokenizer.addedTokens, messages, options);

function segmentsOf(
  specials: ReadonlySet<string>,
  messages: readonly ChatMessage<unknown>[],
  { template, systemMessage, tokensPerTile }: TrainingTextOptions,
): TextSegment[] {
  const prompt = composePrompt(messages, { template, systemMessage, specials });
  return expandImages(
    prompt,
    prompt.blocks.map(() => 1),
    { tokensPerTile },
  );
}

/** The token that ends a turn. */
export const endOfTurn = (template: SftTemplate): string => chatTemplate(template).stop[0]!;
