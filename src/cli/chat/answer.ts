import type { ChatChunk, ChatMessages, ChatModel, ChatOptions } from "../../infer/chat-model.ts";
import type { Context } from "../context.ts";
import { Progress } from "../progress.ts";
import { count, counted } from "../table.ts";
import { style, type Terminal, visible } from "../terminal.ts";
import type { Reply } from "./conversation.ts";

/** An answer with how long it took. */
export interface TimedReply extends Reply {
  readonly seconds: number;
  /** From the first token on; undefined for fewer than two. */
  readonly tokensPerSecond: number | undefined;
}

export interface AnswerOptions extends ChatOptions {
  readonly signal: AbortSignal;
  readonly showThinking: boolean;
  /** Collects the answer and prints nothing. */
  readonly quiet?: boolean;
}

/** A model's words for a screen: its line breaks and tabs act, no other control character does. */
const shown = (terminal: Terminal, text: string): string =>
  terminal.isTTY ? text.replaceAll(/[^\n\t]+/g, visible) : text;

/**
 * Prints an answer as it grows: to stdout, and what the model thinks before it to stderr if that is asked for. An abort
 * that is not the program's own end gives what there was until then; the program's own is thrown.
 */
export async function answer(
  context: Context,
  model: ChatModel,
  messages: ChatMessages,
  { showThinking, quiet = false, ...options }: AnswerOptions,
): Promise<TimedReply> {
  const writer = new AnswerWriter(context, { showThinking, quiet });
  const start = performance.now();
  let [first, last, tokens] = [start, start, 0];
  const text = { answer: "", thinking: "" };
  let end: ChatChunk | undefined;
  try {
    for await (const chunk of model.chat(messages, options)) {
      if (chunk.tokens.length > 0) {
        last = performance.now();
        if (tokens === 0) first = last;
        tokens += chunk.tokens.length;
      }
      text.answer += chunk.text;
      text.thinking += chunk.thinking;
      end = chunk;
      await writer.write(chunk, tokens);
    }
  } catch (error) {
    if (!options.signal.aborted || context.signal.aborted) throw error;
    end = undefined;
  } finally {
    await writer.end();
  }
  const now = performance.now();
  return {
    ...text,
    finishReason: end?.finishReason ?? "interrupted",
    usage: end?.usage,
    seconds: (now - start) / 1000,
    tokensPerSecond: tokens > 1 && last > first ? (1000 * (tokens - 1)) / (last - first) : undefined,
  };
}

/** Where the parts of an answer go. */
class AnswerWriter {
  readonly #progress: Progress;
  /** What was written last, so that thinking and answer begin lines of their own. */
  #at: { readonly part: "thinking" | "answer"; readonly endsLine: boolean } | undefined;

  constructor(
    readonly context: Context,
    readonly options: { readonly showThinking: boolean; readonly quiet: boolean },
  ) {
    this.#progress = new Progress(context.err);
  }

  async write({ thinking, text }: ChatChunk, tokens: number): Promise<void> {
    const { showThinking, quiet } = this.options;
    if (showThinking && thinking !== "") await this.#put("thinking", thinking);
    if (text !== "" && !quiet) await this.#put("answer", text);
    const label = quiet ? "answering" : "thinking";
    if (this.#at === undefined && (quiet || thinking !== "")) this.#progress.update({ label, done: tokens });
  }

  async end(): Promise<void> {
    this.#progress.clear();
    await this.#breakLine();
  }

  async #put(part: "thinking" | "answer", text: string): Promise<void> {
    const { out, err } = this.context;
    this.#progress.clear();
    if (this.#at !== undefined && this.#at.part !== part) await this.#breakLine();
    if (part === "answer") await out.write(shown(out, text));
    else await err.write(style(err, "dim", shown(err, text)));
    this.#at = { part, endsLine: text.endsWith("\n") };
  }

  async #breakLine(): Promise<void> {
    if (this.#at === undefined || this.#at.endsLine) return;
    await this.context[this.#at.part === "answer" ? "out" : "err"].write("\n");
    this.#at = { ...this.#at, endsLine: true };
  }
}

/** "12 tokens in 3.1 s, 4.2 tokens/s; the question took 300 (250 known from before)". */
export function replyFacts({ usage, seconds, tokensPerSecond, finishReason }: TimedReply): string {
  if (usage === undefined) return "stopped";
  const rate = tokensPerSecond === undefined ? "" : `, ${tokensPerSecond.toFixed(1)} tokens/s`;
  const known = usage.cachedTokens > 0 ? ` (${count(usage.cachedTokens)} known from before)` : "";
  const cut = finishReason === "length" ? "; cut off, there was no more room" : "";
  return `${counted(usage.completionTokens, "token")} in ${seconds.toFixed(1)} s${rate}; the conversation took ${count(usage.promptTokens)}${known}${cut}`;
}
