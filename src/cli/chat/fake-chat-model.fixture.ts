import type { ChatMessages, ChatModel, ChatOptions } from "../../infer/chat-model.ts";

/** What a question is answered with: thinking, then words. `hangs`: after the words it waits to be stopped. */
export interface FakeReply {
  readonly thinking?: string;
  readonly words: readonly string[];
  readonly hangs?: boolean;
}

/** A chat model for tests that answers from a list and keeps what it was asked. */
export function fakeChatModel(
  replies: readonly FakeReply[],
): ChatModel & { readonly asked: { messages: ChatMessages; options: ChatOptions }[]; disposed: boolean } {
  const token = { token: "t", bytes: new Uint8Array([116]), logprob: -1, top: [] };
  const asked: { messages: ChatMessages; options: ChatOptions }[] = [];
  return {
    id: "fake@0",
    contextLength: 100,
    concurrency: 4,
    asked,
    disposed: false,
    async *chat(messages, options = {}) {
      const { thinking, words, hangs } = replies[asked.length] ?? { words: ["again"] };
      asked.push({ messages, options });
      const { signal } = options;
      if (thinking !== undefined) yield { index: 0, text: "", thinking, tokens: [token] };
      for (const text of words) yield { index: 0, text, thinking: "", tokens: [token] };
      if (hangs)
        await new Promise((_, reject) => {
          signal!.addEventListener("abort", () => reject(signal!.reason));
        });
      const usage = { promptTokens: 10, cachedTokens: 4, completionTokens: words.length };
      yield { index: 0, text: "", thinking: "", tokens: [], finishReason: "stop", usage };
    },
    async *complete() {
      yield { index: 0, text: "", thinking: "", tokens: [] };
    },
    async [Symbol.asyncDispose]() {
      this.disposed = true;
    },
  };
}
