import type { Context } from "hono";
import type { Env, Services } from "../context.ts";
import type { Gate } from "../gate.ts";
import { HttpError } from "../http-error.ts";
import { readJson } from "../upload.ts";
import type { Answers } from "./answers.ts";
import type { RemotePictures } from "./media-source.ts";
import type { PictureMemory, PictureShare } from "./picture-memory.ts";

/** What the OpenAI-compatible routes share. */
export interface Api {
  readonly services: Services;
  readonly answers: Answers;
  readonly memory: PictureMemory;
  readonly downloads: Gate;
  readonly videos: Gate;
  readonly remote: RemotePictures | undefined;
  readonly apiKeys: readonly string[];
}

/**
 * Reads a JSON body and gives it to `use`. A body that may be large is in memory from its first byte until `use` is
 * done, so these are few at a time; small ones do not wait for them.
 */
export function withBody<T>(c: Context<Env>, api: Api, use: (body: unknown) => Promise<T>): Promise<T> {
  const { limits, uploads } = api.services;
  const { signal } = c.var;
  const length = c.req.header("content-length");
  if (length !== undefined && Number(length) <= limits.jsonBytes)
    return readJson(c.req.raw, limits, signal).then(use);
  const large = { ...limits, jsonBytes: limits.chat.bodyBytes };
  return uploads.run(signal, async () => use(await readJson(c.req.raw, large, signal)));
}

/** The time and the memory that a request may take until its answer is complete. Dispose of it then. */
export class AnswerScope implements Disposable {
  readonly #controller = new AbortController();
  readonly #deadline: NodeJS.Timeout;

  constructor(
    /** Aborts when the client is gone or the server stops. */
    readonly gone: AbortSignal,
    readonly pictures: PictureShare,
    answerMs: number,
  ) {
    this.#deadline = setTimeout(
      () => this.#controller.abort(new DOMException("the answer took too long", "TimeoutError")),
      answerMs,
    );
    gone.addEventListener("abort", this.#end, { once: true });
    if (gone.aborted) this.#end();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** No one reads the answer. */
  readonly leave = (): void => {
    this.#controller.abort(new DOMException("the client is gone", "AbortError"));
  };

  /** The client is gone or the server stops: the signal says which. */
  readonly #end = (): void => {
    const { reason } = this.gone;
    if (reason instanceof HttpError) this.#controller.abort(reason);
    else this.leave();
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#deadline);
    this.gone.removeEventListener("abort", this.#end);
    this.pictures[Symbol.dispose]();
  }
}
