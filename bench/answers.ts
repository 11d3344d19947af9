import { type About, type BenchResult, summarize, type Unit } from "./pair.ts";

/** What a side is asked for: an answer to a prompt, of exactly so many tokens. */
export interface Question {
  /** A plain text that is continued, or for a picture the text beside it. */
  readonly text: string;
  /** A picture that is cut into so many tiles, made up from `seed`. */
  readonly picture?: { readonly tiles: number; readonly seed: string };
  /** Tokens of the whole prompt, for a side that makes up its ids. */
  readonly promptTokens?: number;
  readonly tokens: number;
}

/** How it went. */
export interface Answer {
  readonly promptTokens: number;
  readonly tokens: number;
  /** From the question to the first token. */
  readonly firstSeconds: number;
  /** From the question to the last token. */
  readonly seconds: number;
}

/** What is compared of two answers. */
export const MEASURES = {
  "first-token": "s",
  prefill: "tokens/s",
  decode: "tokens/s",
} as const satisfies Record<string, Unit>;
export type Measure = keyof typeof MEASURES;

/** Seconds or tokens a second. The first token comes with the prompt. */
export const answerRates = ({
  promptTokens,
  tokens,
  firstSeconds,
  seconds,
}: Answer): Record<Measure, number> => ({
  "first-token": firstSeconds,
  prefill: promptTokens / firstSeconds,
  decode: (tokens - 1) / (seconds - firstSeconds),
});

/** Pairs of answers as a result. */
export const summarizeAnswers = (
  name: string,
  measure: Measure,
  pairs: readonly { readonly ours: Answer; readonly peer: Answer }[],
  about: About,
): BenchResult => {
  const values = pairs.map((p) => ({
    ours: answerRates(p.ours)[measure],
    peer: answerRates(p.peer)[measure],
  }));
  return summarize(`${name}/${measure}`, MEASURES[measure], values, about);
};

/** Throws when an answer is not of the question's length: rates of other lengths are not comparable. */
export function checkAnswer(who: string, { tokens, promptTokens }: Question, answer: Answer): Answer {
  if (answer.tokens !== tokens)
    throw new Error(`bench: ${who} ended after ${answer.tokens} of ${tokens} tokens; take another prompt`);
  if (promptTokens !== undefined && answer.promptTokens !== promptTokens)
    throw new Error(`bench: ${who} counts ${answer.promptTokens} tokens in a prompt of ${promptTokens}`);
  return answer;
}
