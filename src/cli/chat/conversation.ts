import type { ChatMessages, ChatUsage, FinishReason } from "../../infer/chat-model.ts";
import type { Media } from "./media.ts";

/** What the model has answered. */
export interface Reply {
  readonly answer: string;
  readonly thinking: string;
  /** "interrupted": the reader stopped it. */
  readonly finishReason: FinishReason | "interrupted";
  readonly usage: ChatUsage | undefined;
}

/** A question with what is shown with it, and the answer once there is one. */
export interface Turn {
  readonly media: readonly Media[];
  readonly text: string;
  readonly reply?: Reply;
}

/** A conversation so far. */
export interface Conversation {
  readonly system: string | undefined;
  readonly turns: readonly Turn[];
}

/** As the model takes it; pictures come before the words of their turn. What was thought is not repeated to it. */
export function messagesOf({ system, turns }: Conversation): ChatMessages {
  return [
    ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
    ...turns.flatMap(({ media, text, reply }) => [
      {
        role: "user" as const,
        content: media.length === 0 ? text : [...media.map((m) => m.part), { type: "text" as const, text }],
      },
      ...(reply ? [{ role: "assistant" as const, content: reply.answer }] : []),
    ]),
  ];
}

/** Usage in the words of OpenAI's API. */
export const usageJson = (usage: ChatUsage) => ({
  prompt_tokens: usage.promptTokens,
  cached_tokens: usage.cachedTokens,
  completion_tokens: usage.completionTokens,
});

/** The conversation as JSON text: messages as they were sent, with the paths of what was shown. */
export function conversationJson({ system, turns }: Conversation, model: string): string {
  const messages = [
    ...(system === undefined ? [] : [{ role: "system", content: system }]),
    ...turns.flatMap(({ media, text, reply }) => [
      {
        role: "user",
        content: text,
        ...(media.length > 0 && { files: media.map(({ path }) => path) }),
      },
      ...(reply
        ? [
            {
              role: "assistant",
              content: reply.answer,
              ...(reply.thinking !== "" && { thinking: reply.thinking }),
              finish_reason: reply.finishReason,
              ...(reply.usage && { usage: usageJson(reply.usage) }),
            },
          ]
        : []),
    ]),
  ];
  return `${JSON.stringify({ model, messages }, null, 2)}\n`;
}

/** The conversation as Markdown: a heading a message. */
export function conversationMarkdown({ system, turns }: Conversation, model: string): string {
  const parts = [`# Chat with ${model}`];
  if (system !== undefined) parts.push("## System", system);
  for (const { media, text, reply } of turns) {
    parts.push("## You", ...media.map(({ path }) => `\`${path}\``), text);
    if (reply) {
      parts.push("## Answer");
      if (reply.thinking !== "")
        parts.push(`<details><summary>Thinking</summary>\n\n${reply.thinking}\n\n</details>`);
      parts.push(reply.answer);
    }
  }
  return `${parts.join("\n\n")}\n`;
}
