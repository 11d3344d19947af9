import type { TokenDetail } from "../../infer/chat-model.ts";
import { logprobJson, type ReplyForm, type ReplyOptions, replyHead, usageJson } from "./reply.ts";

/** Objects `text_completion`, the same in streams. A plain prompt has no thoughts: all that comes is its text. */
export function completionReply(options: ReplyOptions): ReplyForm {
  const head = { ...replyHead("cmpl", options), object: "text_completion" };
  /** Characters of each answer's tokens so far. */
  const offsets = new Map<number, number>();
  const logprobs = (index: number, tokens: readonly TokenDetail[]) => {
    if (!options.logprobs) return null;
    let offset = offsets.get(index) ?? 0;
    const text_offset = tokens.map(({ token }) => {
      offset += token.length;
      return offset - token.length;
    });
    offsets.set(index, offset);
    return {
      tokens: tokens.map(({ token }) => token),
      token_logprobs: tokens.map(({ logprob }) => logprobJson(logprob)),
      top_logprobs: tokens.map(({ top }) =>
        Object.fromEntries(top.map(({ token, logprob }) => [token, logprobJson(logprob)])),
      ),
      text_offset,
    };
  };
  const usageField = (usage: object | null) => (options.includeUsage ? { usage } : {});
  return {
    events({ index, text, thinking, tokens, finishReason }) {
      const silent = !text && !thinking && !finishReason && !(options.logprobs && tokens.length > 0);
      if (silent) return [];
      const choice = {
        index,
        text: thinking + text,
        logprobs: logprobs(index, tokens),
        finish_reason: finishReason ?? null,
      };
      return [{ ...head, choices: [choice], ...usageField(null) }];
    },
    usageEvent: (usage) => ({ ...head, choices: [], usage: usageJson(usage) }),
    whole: (answers, usage) => ({
      ...head,
      choices: answers.map(({ index, text, thinking, tokens, finishReason }) => ({
        index,
        text: thinking + text,
        logprobs: logprobs(index, tokens),
        finish_reason: finishReason,
      })),
      usage: usageJson(usage),
    }),
  };
}
