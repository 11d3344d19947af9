import type { ProxyAgent } from "undici";
import { messageOf } from "../core/errors.ts";
import type { ProxyChoice } from "./proxy.node.ts";

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MAX_API_BYTES = 16 * 2 ** 20;

/** The hub was not reached, or its answer stopped; another time it may work. */
export class NetworkError extends Error {
  override name = "NetworkError";
}

/** The hub answered with an error. */
export class HubStatusError extends Error {
  override name = "HubStatusError";

  /** `code` is the hub's own word (X-Error-Code), such as RepoNotFound, RevisionNotFound or GatedRepo; may be "". */
  constructor(
    readonly status: number,
    readonly code: string,
    text: string,
  ) {
    super(text);
  }

  /** Whether the same request may succeed later. */
  get passing(): boolean {
    return this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

/** The hub answered with something that a hub does not answer with. */
export class HostileAnswerError extends Error {
  override name = "HostileAnswerError";
}

export interface HubFetchOptions {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly proxies: () => ProxyChoice;
  /** Longest wait for an answer, and for the next bytes of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

export type HubFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * A fetch for the hub. The token goes to the hub's own address and to no other; redirects lead from https to https only;
 * answers that stop are given up. Throws a NetworkError, a HubStatusError for any status that is none of success, a
 * HostileAnswerError, or the signal's reason.
 */
export function hubFetch({ endpoint, token, proxies, timeoutMs, signal }: HubFetchOptions): HubFetch {
  const hub = new URL(endpoint);
  const send = sender(proxies());
  return async (input, init = {}) => {
    let url = new URL(input instanceof Request ? input.url : input);
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      if (url.protocol !== "https:" && url.protocol !== hub.protocol)
        throw new HostileAnswerError(`leads to ${url.protocol}//${url.host}, which is not https`);
      const headers = new Headers(init.headers);
      headers.set("User-Agent", "internvl");
      if (token !== undefined && url.origin === hub.origin) headers.set("Authorization", `Bearer ${token}`);
      else headers.delete("Authorization");
      const response = await answerInTime(
        send,
        url,
        { ...init, headers, redirect: "manual" },
        timeoutMs,
        signal,
      );
      if (!REDIRECTS.has(response.status)) return succeeded(response);
      await response.body?.cancel();
      const location = response.headers.get("location") ?? "";
      if (!URL.canParse(location, url)) throw new HostileAnswerError("redirects to nowhere");
      url = new URL(location, url);
    }
    throw new HostileAnswerError(`answers with more than ${MAX_REDIRECTS} redirects`);
  };
}

type Send = (url: URL, init: RequestInit) => Promise<Response>;

/** `fetch`, through a proxy where one is to be asked: Node's own knows none before version 22.21. */
function sender(proxy: ProxyChoice): Send {
  const agents = new Map<string, ProxyAgent>();
  return async (url, init) => {
    const address = proxy(url);
    if (address === undefined) return fetch(url, init);
    const undici = await import("undici");
    try {
      const agent = agents.get(address) ?? new undici.ProxyAgent(address);
      agents.set(address, agent);
      const through = { ...init, dispatcher: agent } as Parameters<typeof undici.fetch>[1];
      return (await undici.fetch(url, through)) as unknown as Response;
    } catch (error) {
      throw new Error(`through the proxy ${new URL(address).host}: ${reasonOf(error)}`);
    }
  };
}

/** As `fetch`, for the hub's API: the answer was read as a whole, up to a limit. */
export const apiFetch =
  (fetch: HubFetch): HubFetch =>
  async (input, init) => {
    const { body, status, headers } = await fetch(input, init);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body ?? []) {
      size += chunk.byteLength;
      if (size > MAX_API_BYTES)
        throw new HostileAnswerError(
          `answers with more than ${MAX_API_BYTES} bytes where a list is expected`,
        );
      chunks.push(chunk);
    }
    return new Response(Buffer.concat(chunks), { status, headers });
  };

/** One request. Each chunk of the body must come within `timeoutMs`. */
async function answerInTime(
  send: Send,
  url: URL,
  init: RequestInit,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const late = new AbortController();
  /** `step`'s result, which must come in time. */
  const inTime = async <T>(step: () => Promise<T>): Promise<T> => {
    const reason = new NetworkError(`${url.host} sent nothing for ${timeoutMs / 1000} s`);
    const watchdog = setTimeout(() => late.abort(reason), timeoutMs);
    try {
      return await step();
    } catch (error) {
      throw failure(error, url, signal, late.signal);
    } finally {
      clearTimeout(watchdog);
    }
  };
  const both = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
  const { status, headers, body } = await inTime(() => send(url, { ...init, signal: both }));
  const reader = body?.getReader();
  if (reader === undefined) return new Response(null, { status, headers });
  const watched = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await inTime(() => reader.read());
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(watched, { status, headers });
}

/** What a failed request is to be told as: who stopped it, or what the system says. */
function failure(error: unknown, url: URL, signal: AbortSignal | undefined, late: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (late.aborted) return late.reason;
  return new NetworkError(`${url.host}: ${reasonOf(error)}`, { cause: error });
}

/** What the system says of a failed request. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return (cause as NodeJS.ErrnoException).code ?? messageOf(cause);
}

/** The response, if it is one of success. */
async function succeeded(response: Response): Promise<Response> {
  if (response.ok) return response;
  const code = response.headers.get("x-error-code") ?? "";
  const said = response.headers.get("x-error-message") ?? (await errorText(response));
  throw new HubStatusError(response.status, code, said);
}

/** The error in a short JSON answer; "" where there is none. */
async function errorText(response: Response): Promise<string> {
  try {
    for await (const chunk of response.body ?? []) {
      const { error } = JSON.parse(new TextDecoder().decode(chunk)) as { readonly error?: unknown };
      return typeof error === "string" ? error.slice(0, 300) : "";
    }
  } catch {
    // No JSON, or in more than one piece: the status says enough.
  }
  return "";
}
