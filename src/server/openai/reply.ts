import { randomUUID } from "node:crypto";
import type { ChatChunk, ChatUsage, FinishReason, TokenDetail } from "../../infer/chat-model.ts";

/** JSON has no infinities: a token that is impossible is told as OpenAI's API tells it. */
const LEAST_LOGPROB = -9999;

/** How a route writes what a model says. */
export interface ReplyForm {
  /** The events of a stream that a chunk becomes; none when it adds nothing that is told. */
  events(chunk: ChatChunk): object[];
  /** Events with the same name but only usage. */
  usageEvent(usage: ChatUsage): object;
  /** The whole answer at once. */
  whole(answers: readonly WholeAnswer[], usage: ChatUsage): object;
}

/** One of the n answers, complete. */
export interface WholeAnswer {
  readonly index: number;
  readonly text: string;
  readonly thinking: string;
  readonly tokens: readonly TokenDetail[];
  readonly finishReason: FinishReason;
}

export interface ReplyOptions {
  /** Name of the model, as it was asked for. */
  readonly model: string;
  /** Name and fingerprint of its weights. */
  readonly fingerprint: string;
  readonly logprobs: boolean;
  readonly includeUsage: boolean;
}

/** What all objects of one reply begin with. */
export function replyHead(prefix: string, { model, fingerprint }: ReplyOptions) {
  return {
    id: `${prefix}-${randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: fingerprint,
  };
}

export const usageJson = ({ promptTokens, cachedTokens, completionTokens }: ChatUsage) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  prompt_tokens_details: { cached_tokens: cachedTokens },
});

export const logprobJson = (logprob: number): number => Math.max(LEAST_LOGPROB, logprob);

type Growing = { -readonly [K in keyof WholeAnswer]: WholeAnswer[K] } & { tokens: TokenDetail[] };

/** The answers that chunks add up to, by index, and the usage. */
export async function collect(chunks: AsyncIterable<ChatChunk>): Promise<[WholeAnswer[], ChatUsage]> {
  const answers = new Map<number, Growing>();
  let usage: ChatUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for await (const chunk of chunks) {
    const { index, text, thinking, tokens, finishReason } = chunk;
    const answer = answers.get(index) ?? { index, text: "", thinking: "", tokens: [], finishReason: "stop" };
    answers.set(index, answer);
    answer.text += text;
    answer.thinking += thinking;
    answer.tokens.push(...tokens);
    if (finishReason) answer.finishReason = finishReason;
    if (chunk.usage) usage = chunk.usage;
  }
  return [[...answers.values()].sort((a, b) => a.index - b.index), usage];
}
