import type { Context, Hono } from "hono";
import type { ChatChunk, ChatModel, ChatOptions } from "../../infer/chat-model.ts";
import type { Env } from "../context.ts";
import { toHttpError } from "../http-error.ts";
import { AnswerScope, type Api, withBody } from "./api.ts";
import { ApiError, apiErrorBody } from "./api-error.ts";
import { chatReply } from "./chat-reply.ts";
import { parseChatRequest } from "./chat-request.ts";
import { clientOf } from "./clients.ts";
import { completionReply } from "./completion-reply.ts";
import { type CompletionRequest, parseCompletionRequest } from "./completion-request.ts";
import { loadConversation } from "./conversation-media.ts";
import { dataEvent, eventStream } from "./event-stream.ts";
import { collect, type ReplyForm, type ReplyOptions } from "./reply.ts";

/** A request that was read: what its model is to do, and how that is told. */
interface Prepared {
  readonly request: Omit<ReplyOptions, "fingerprint"> & { readonly stream: boolean };
  readonly model: ChatModel;
  /** Answers to one prompt. */
  readonly n: number;
  readonly form: (options: ReplyOptions) => ReplyForm;
  readonly start: (model: ChatModel) => AsyncIterable<ChatChunk>;
}

type OnDefect = (error: unknown, requestId: string) => void;

/** `POST /v1/chat/completions`. */
export function addChatRoute(app: Hono<Env>, api: Api, onDefect: OnDefect): void {
  const { limits } = api.services;
  app.post("/v1/chat/completions", (c) =>
    answer(c, api, onDefect, async (body, scope, client) => {
      const request = parseChatRequest(body, limits.chat);
      const model = api.answers.model(request.model, client);
      checkRoom(model, request.options, request.maxTokensField);
      const messages = await loadConversation(request.messages, {
        remote: api.remote,
        downloads: api.downloads,
        videos: api.videos,
        limits,
        signal: scope.signal,
        share: scope.pictures,
      });
      const options = { ...request.options, signal: scope.signal };
      const { n = 1 } = options;
      return { request, model, n, form: chatReply, start: (m) => m.chat(messages, options) };
    }),
  );
}

/** `POST /v1/completions`. */
export function addCompletionRoute(app: Hono<Env>, api: Api, onDefect: OnDefect): void {
  const { limits } = api.services;
  app.post("/v1/completions", (c) =>
    answer(c, api, onDefect, async (body, scope, client) => {
      const request = parseCompletionRequest(body, limits.chat);
      const model = api.answers.model(request.model, client);
      checkRoom(model, request.options, "max_tokens");
      const options = { ...request.options, signal: scope.signal };
      return {
        request,
        model,
        n: options.n ?? 1,
        form: completionReply,
        start: (m) => completeAll(m, request, options),
      };
    }),
  );
}

/**
 * Prompts one after the other; the answers to prompt i have the indices i·n to i·n + n - 1, and with `echo` begin with it.
 */
async function* completeAll(
  model: ChatModel,
  { prompts, echo }: Pick<CompletionRequest, "prompts" | "echo">,
  options: ChatOptions,
): AsyncGenerator<ChatChunk> {
  const begun = new Set<number>();
  const sum = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for (const [i, prompt] of prompts.entries())
    for await (const { usage, index: own, ...chunk } of model.complete(prompt, options)) {
      const index = i * (options.n ?? 1) + own;
      const text = echo && !begun.has(index) ? prompt + chunk.text : chunk.text;
      begun.add(index);
      sum.promptTokens += usage?.promptTokens ?? 0;
      sum.cachedTokens += usage?.cachedTokens ?? 0;
      sum.completionTokens += usage?.completionTokens ?? 0;
      const last = usage && i === prompts.length - 1;
      yield { ...chunk, index, text, ...(last && { usage: sum }) };
    }
}

function checkRoom({ contextLength }: ChatModel, { maxTokens }: ChatOptions, param: string): void {
  if (maxTokens !== undefined && maxTokens > contextLength)
    throw new ApiError(
      400,
      `${param}: expected at most ${contextLength}, the model's context, found ${maxTokens}; ask for fewer`,
      { param },
    );
}

async function answer(
  c: Context<Env>,
  api: Api,
  onDefect: OnDefect,
  prepare: (body: unknown, scope: AnswerScope, client: string) => Promise<Prepared>,
): Promise<Response> {
  const { chat } = api.services.limits;
  const client = clientOf(c, api.apiKeys);
  const scope = new AnswerScope(c.var.gone, api.memory.share(), chat.answerMs);
  const prepared = await withBody(c, api, (body) => prepare(body, scope, client)).catch((error: unknown) => {
    scope[Symbol.dispose]();
    throw error;
  });
  const { request, model, n, start } = prepared;
  const form = prepared.form({ ...request, fingerprint: model.id });
  const { signal } = scope;
  const chunks = api.answers.run({ model: request.model, client, answers: n, signal, held: scope, start });
  if (!request.stream) {
    // The answer may take longer than a connection is silent otherwise.
    c.env?.incoming?.socket.setTimeout(chat.answerMs);
    return c.json(form.whole(...(await collect(chunks))));
  }
  const first = chunks.next();
  await atMost(chat.silentMs, first);
  const stream = eventStream(events(form, request.includeUsage, first, chunks), {
    bufferedBytes: chat.bufferedBytes,
    stalledMs: chat.stalledMs,
    request: c.req.raw,
    onLeave: scope.leave,
    onError(error) {
      const known = toHttpError(error);
      if (known.status === 500) onDefect(error, c.var.requestId);
      return dataEvent(apiErrorBody(known));
    },
  });
  return c.body(stream, 200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    // nginx would keep the events until its buffer is full.
    "X-Accel-Buffering": "no",
  });
}

/** Waits for the first chunk, but no longer than `ms`. Throws what it throws. */
async function atMost(ms: number, first: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([first, silence]).finally(() => clearTimeout(timer));
}

async function* events(
  form: ReplyForm,
  includeUsage: boolean,
  first: Promise<IteratorResult<ChatChunk, void>>,
  rest: AsyncGenerator<ChatChunk, void>,
): AsyncGenerator<string> {
  try {
    for (let next = await first; !next.done; next = await rest.next()) {
      const { usage } = next.value;
      for (const event of form.events(next.value)) yield dataEvent(event);
      if (usage && includeUsage) yield dataEvent(form.usageEvent(usage));
    }
    yield dataEvent("[DONE]");
  } finally {
    await rest.return();
  }
}
