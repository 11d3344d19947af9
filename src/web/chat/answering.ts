import { type AnswerEvent, askModel } from "./chat-api.ts";
import { ChatError, problemText } from "./chat-error.ts";
import { dataUrl, toMessages } from "./request.ts";
import type { Settings } from "./settings.ts";
import type { Answer, Conversation } from "./turns.ts";

export interface AnsweringEvents {
  /** What is waited for, in words. */
  readonly onWaiting: (text: string) => void;
  readonly onWords: (text: string, thinking: string) => void;
}

/** Asks for the answer to a conversation's last question. Failures and stopping are part of the answer: it never throws. */
export async function answer(
  model: string,
  conversation: Conversation,
  { key, tiles, temperature }: Settings & { readonly temperature: number },
  signal: AbortSignal,
  events: AnsweringEvents,
): Promise<Answer> {
  const grown = { text: "", thinking: "" };
  const clock = new TokenClock();
  let reason = "";
  try {
    const messages = await toMessages(conversation.exchanges, tiles, dataUrl);
    for await (const event of askModel(model, messages, { key, temperature }, signal)) {
      if (event.type === "finish") reason = event.reason;
      if (event.type === "waiting") events.onWaiting(waitingText(event));
      clock.note(event, performance.now());
      if (event.type !== "words") continue;
      grown.text += event.text;
      grown.thinking += event.thinking;
      events.onWords(grown.text, grown.thinking);
    }
    return { ...grown, ending: reason === "length" ? "length" : "complete", ...clock.measured() };
  } catch (error) {
    if (signal.aborted) return { ...grown, ending: "stopped" };
    const known = error instanceof ChatError ? error : new ChatError(0, String(error));
    return { ...grown, ending: "failed", problem: problemText(known) };
  }
}

const waitingText = ({ seconds }: { readonly seconds: number }): string =>
  `The model is busy with other questions. Asking again in ${seconds} s…`;

/** How fast the tokens of an answer come: the time before the first one is that of reading the question. */
export class TokenClock {
  #first: number | undefined;
  #last = 0;
  #tokens: number | undefined;

  note(event: AnswerEvent, nowMs: number): void {
    if (event.type === "usage") this.#tokens = event.tokens;
    if (event.type !== "words") return;
    this.#first ??= nowMs;
    this.#last = nowMs;
  }

  measured(): Pick<Answer, "tokens" | "tokensPerSecond"> {
    const tokens = this.#tokens;
    if (tokens === undefined) return {};
    const seconds = (this.#last - (this.#first ?? this.#last)) / 1000;
    // A few milliseconds say how the network bundles, not how the model writes.
    return tokens > 1 && seconds > 0.05 ? { tokens, tokensPerSecond: (tokens - 1) / seconds } : { tokens };
  }
}
