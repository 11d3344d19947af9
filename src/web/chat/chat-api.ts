import { thinkSplitter } from "../../text/reply.ts";
import { ChatError, readErrorObject } from "./chat-error.ts";
import { eventStreamReader } from "./event-stream.ts";
import type { Message } from "./request.ts";

/** What comes while an answer is made. */
export type AnswerEvent =
  /** Others are being answered: the question is asked again after so many seconds. */
  | { readonly type: "waiting"; readonly seconds: number }
  | { readonly type: "words"; readonly text: string; readonly thinking: string }
  | { readonly type: "finish"; readonly reason: string }
  | { readonly type: "usage"; readonly tokens: number };

/** How often a busy server is asked again before the user is. */
const MAX_ATTEMPTS = 10;

const LONGEST_WAIT_S = 30;

/**
 * The models that the server lists, of the search and of the chat. Throws a ChatError; 503 while they are being loaded,
 * 401 where the key is not the server's.
 * A server without the chat's routes has none.
 */
export async function listModels(key: string): Promise<string[]> {
  const response = await request("/v1/models", { headers: authorization(key) });
  if (response.status === 404) return [];
  if (!response.ok) throw await refusal(response);
  const body = (await response.json().catch(() => undefined)) as { data?: unknown } | undefined;
  const data = Array.isArray(body?.data) ? (body.data as { id?: unknown }[]) : [];
  return data.map((model) => model?.id).filter((id): id is string => typeof id === "string" && id !== "");
}

/** The answer to a conversation, as it grows. Throws a ChatError, or the signal's reason once it is aborted. */
export async function* askModel(
  model: string,
  messages: readonly Message[],
  { key, temperature }: { readonly key: string; readonly temperature: number },
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent> {
  const body = JSON.stringify({
    model,
    messages,
    temperature,
    stream: true,
    stream_options: { include_usage: true },
  });
  for (let attempt = 1; ; attempt++) {
    const response = await request("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization(key) },
      body,
      signal,
    });
    if (response.ok) return yield* readAnswer(response);
    const error = await refusal(response);
    if (!error.isBusy || attempt === MAX_ATTEMPTS) throw error;
    const seconds = Math.min(Math.max(error.retryAfterS ?? 2 ** attempt, 1), LONGEST_WAIT_S);
    for (let left = Math.ceil(seconds); left > 0; left--) {
      yield { type: "waiting", seconds: left };
      await pause(1000, signal);
    }
  }
}

async function* readAnswer(response: Response): AsyncGenerator<AnswerEvent> {
  const events = eventStreamReader();
  const splitter = thinkSplitter();
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) break;
      for (const data of events.push(decoder.decode(value, { stream: true }))) {
        if (data === "[DONE]") ended = true;
        else
          for (const event of readChunk(data, splitter.push)) {
            ended ||= event.type === "finish";
            yield event;
          }
      }
    }
  } catch (error) {
    if (error instanceof ChatError || isAbort(error)) throw error;
    throw new ChatError(0, "The connection broke before the answer was complete.");
  } finally {
    // Whoever leaves the loop early wants no more.
    await reader?.cancel().catch(() => {});
  }
  const { answer, thinking } = splitter.end();
  if (answer || thinking) yield { type: "words", text: answer, thinking };
  if (!ended) throw new ChatError(0, "The connection ended before the answer was complete.");
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: unknown; readonly reasoning_content?: unknown };
    readonly finish_reason?: unknown;
  }[];
  readonly usage?: { readonly completion_tokens?: unknown } | null;
}

/** What one chunk of the stream says. Thinking comes apart (`reasoning_content`) or in marks at the beginning of the answer. */
export function readChunk(
  data: string,
  split: (text: string) => { readonly thinking: string; readonly answer: string },
): AnswerEvent[] {
  let chunk: Chunk | null;
  try {
    chunk = JSON.parse(data) as Chunk | null;
  } catch {
    throw new ChatError(0, "The server sent something that is no part of an answer.");
  }
  const error = readErrorObject(chunk);
  if (error) throw new ChatError(500, error.message, error.code);
  const events: AnswerEvent[] = [];
  const choice = Array.isArray(chunk?.choices) ? chunk.choices[0] : undefined;
  const said = split(textOf(choice?.delta?.content));
  const thinking = textOf(choice?.delta?.reasoning_content) + said.thinking;
  if (said.answer || thinking) events.push({ type: "words", text: said.answer, thinking });
  if (typeof choice?.finish_reason === "string")
    events.push({ type: "finish", reason: choice.finish_reason });
  const tokens = chunk?.usage?.completion_tokens;
  if (typeof tokens === "number" && tokens >= 0) events.push({ type: "usage", tokens });
  return events;
}

/** A key with other characters than these is none, and could not be sent. */
const authorization = (key: string): Record<string, string> =>
  /^[\x21-\x7e]+$/.test(key) ? { Authorization: `Bearer ${key}` } : {};

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

async function request(url: string, init: RequestInit): Promise<Response> {
  return fetch(url, init).catch((error: unknown) => {
    if (isAbort(error)) throw error;
    throw new ChatError(0, "The server does not answer. Is it still running?");
  });
}

/** What a response that is no answer says. */
async function refusal(response: Response): Promise<ChatError> {
  const body = readErrorObject(await response.json().catch(() => undefined));
  const message = body?.message ?? `The server answered ${response.status}.`;
  const after = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ChatError(response.status, message, body?.code, Number.isFinite(after) ? after : undefined);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
