import type { TokenDetail } from "../../infer/chat-model.ts";
import { logprobJson, type ReplyForm, type ReplyOptions, replyHead, usageJson } from "./reply.ts";

/** Objects `chat.completion` and `chat.completion.chunk`. What a model thinks is `reasoning_content`. */
export function chatReply(options: ReplyOptions): ReplyForm {
  const head = replyHead("chatcmpl", options);
  const begun = new Set<number>();
  const event = (choices: readonly object[], usage: object | null = null) => ({
    ...head,
    object: "chat.completion.chunk",
    choices,
    ...(options.includeUsage && { usage }),
  });
  const logprobs = (tokens: readonly TokenDetail[]) =>
    options.logprobs ? { content: tokens.map(tokenJson), refusal: null } : null;
  return {
    events({ index, text, thinking, tokens, finishReason }) {
      const events: object[] = [];
      const add = (delta: object, finish_reason: string | null, told: readonly TokenDetail[] = []) =>
        events.push(
          event([{ index, delta, logprobs: told.length > 0 ? logprobs(told) : null, finish_reason }]),
        );
      if (!begun.has(index)) add({ role: "assistant", content: "", refusal: null }, null);
      begun.add(index);
      if (text || thinking || (options.logprobs && tokens.length > 0))
        add(
          { ...(thinking && { reasoning_content: thinking }), ...((text || !thinking) && { content: text }) },
          null,
          tokens,
        );
      if (finishReason) add({}, finishReason);
      return events;
    },
    usageEvent: (usage) => event([], usageJson(usage)),
    whole: (answers, usage) => ({
      ...head,
      object: "chat.completion",
      choices: answers.map(({ index, text, thinking, tokens, finishReason }) => ({
        index,
        message: {
          role: "assistant",
          content: text,
          ...(thinking && { reasoning_content: thinking }),
          refusal: null,
        },
        logprobs: logprobs(tokens),
        finish_reason: finishReason,
      })),
      usage: usageJson(usage),
    }),
  };
}

const tokenJson = ({ top, ...own }: TokenDetail) => ({
  ...oneToken(own),
  top_logprobs: top.map(oneToken),
});

const oneToken = ({ token, logprob, bytes }: Omit<TokenDetail, "top">) => ({
  token,
  logprob: logprobJson(logprob),
  bytes: [...bytes],
});
