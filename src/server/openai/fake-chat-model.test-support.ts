import { UsageError } from "../../core/errors.ts";
import type { ChatChunk, ChatMessages, ChatModel, ChatOptions, TokenDetail } from "../../infer/chat-model.ts";
import { type ChatMessage, partsOf } from "../../text/conversation.ts";
import type { RgbImage } from "../../vision/image.ts";

export interface FakeOptions {
  readonly id?: string;
  readonly contextLength?: number;
  readonly concurrency?: number;
  /** Before each token. */
  readonly delayMs?: number;
  /** What it thinks before each answer. */
  readonly thinking?: string;
  /** Takes the place of what it would say to a text. */
  readonly say?: (text: string) => string;
}

/** What happened to a fake model. */
export interface FakeChatModel extends ChatModel {
  readonly calls: { readonly messages: ChatMessages | string; readonly options: ChatOptions }[];
  /** Answers that were begun and not ended yet, and most at the same time. */
  readonly open: number;
  readonly mostOpen: number;
  readonly begun: number;
  readonly disposed: boolean;
}

/**
 * A model whose tokens are words with the space before them. It says "You said: " and the last message's text, and
 * tells the size and first colour of its pictures. With n answers, each begins with its number.
 */
export function fakeChatModel({
  id = "fake@1",
  contextLength = 4096,
  concurrency = 4,
  delayMs = 0,
  thinking = "",
  say = (text) => `You said: ${text}`,
}: FakeOptions = {}): FakeChatModel {
  const calls: FakeChatModel["calls"] = [];
  let open = 0;
  let mostOpen = 0;
  let begun = 0;
  let disposed = false;

  async function* speak(
    prompt: string,
    answers: readonly string[],
    { maxTokens, stop = [], top_logprobs = 0, signal }: ChatOptions,
  ): AsyncGenerator<ChatChunk> {
    begun++;
    mostOpen = Math.max(mostOpen, ++open);
    try {
      const promptTokens = words(prompt).length;
      if (promptTokens > contextLength)
        throw new UsageError(
          `messages: ${promptTokens} tokens, the context has ${contextLength}; shorten the conversation`,
        );
      let completionTokens = 0;
      for (const [index, answer] of answers.entries()) {
        const cut = Math.min(
          ...stop.map((text) => answer.indexOf(text)).filter((at) => at >= 0),
          answer.length,
        );
        const all = [...(thinking ? [thinking] : []), ...words(answer.slice(0, cut))];
        const tokens = all.slice(0, maxTokens ?? all.length);
        for (const [i, token] of tokens.entries()) {
          await pause(delayMs, signal);
          completionTokens++;
          const isThought = thinking !== "" && i === 0;
          yield {
            index,
            text: isThought ? "" : token,
            thinking: isThought ? token : "",
            tokens: [detail(token, top_logprobs)],
          };
        }
        yield {
          index,
          text: "",
          thinking: "",
          tokens: [],
          finishReason: tokens.length < all.length ? "length" : "stop",
          ...(index === answers.length - 1 && { usage: { promptTokens, cachedTokens: 1, completionTokens } }),
        };
      }
    } finally {
      open--;
    }
  }

  const numbered = (text: string, n = 1) =>
    Array.from({ length: n }, (_, i) => (n > 1 ? `#${i} ${say(text)}` : say(text)));

  return {
    id,
    contextLength,
    concurrency,
    calls,
    get open() {
      return open;
    },
    get mostOpen() {
      return mostOpen;
    },
    get begun() {
      return begun;
    },
    get disposed() {
      return disposed;
    },
    chat(messages, options = {}) {
      calls.push({ messages, options });
      const said = messages.map(textOf).join(" ");
      return speak(said, numbered(textOf(messages.at(-1)!), options.n), options);
    },
    complete(prompt, options = {}) {
      calls.push({ messages: prompt, options });
      return speak(prompt, numbered(prompt, options.n), options);
    },
    [Symbol.asyncDispose]: async () => {
      disposed = true;
    },
  };
}

const words = (text: string): string[] => text.match(/\s*\S+/g) ?? [];

const textOf = (message: ChatMessage<RgbImage>): string =>
  partsOf(message)
    .map((part) =>
      part.type === "text"
        ? part.text
        : part.type === "image"
          ? describe(part.image)
          : `[${part.frames.length} frames: ${part.frames.map(describe).join(" ")}]`,
    )
    .join(" ");

const describe = ({ width, height, data }: RgbImage) =>
  `[${width}×${height} ${[...data.subarray(0, 3)].join(",")}]`;

function detail(token: string, top: number): TokenDetail {
  const bytes = new TextEncoder().encode(token);
  const others = [
    { token, bytes, logprob: -0.25 },
    { token: " never", bytes: new TextEncoder().encode(" never"), logprob: Number.NEGATIVE_INFINITY },
  ];
  return { token, bytes, logprob: -0.25, top: others.slice(0, top) };
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    if (ms === 0) return resolve();
    const leave = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, ms);
    signal?.addEventListener("abort", leave, { once: true });
  });
}
