import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { BrowserContextOptions, Page } from "playwright-core";
import type { ServeOptions } from "../../src/server/serve.ts";
import { openSite, type Site } from "./web-support.ts";

type Part =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "image_url";
      readonly image_url: { readonly url: string; readonly max_dynamic_patch?: number };
    }
  | { readonly type: "video_url"; readonly video_url: { readonly url: string } };

/** What the page asks. */
export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly messages: readonly { readonly role: string; readonly content: string | readonly Part[] }[];
}

/** What the stub answers: words as they come, the thinking apart, any other event, or the end of the connection. */
export type Scripted =
  | string
  | { readonly thinking: string }
  | { readonly event: unknown }
  | { readonly cut: true };

/** A refusal in the place of an answer. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly error: { readonly message: string; readonly type: string; readonly code?: string },
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(error.message);
  }
}

export interface ChatSite extends AsyncDisposable {
  readonly site: Site;
  /** What `/v1/models` lists; "loading" is a 503. */
  models: readonly string[] | "loading";
  /** Whoever does not send this one is refused. */
  key: string | undefined;
  /** Every question so far. */
  readonly requests: ChatRequest[];
  /** How many answers were given up by the page. */
  gaveUp: number;
  /** Makes the next answers. A Refusal thrown before the first word is the response. */
  answer: (request: ChatRequest) => AsyncGenerator<Scripted>;
  /** A page at `path`, such as "?chat=new". */
  open(path?: string, options?: BrowserContextOptions): Promise<Page>;
}

/** The real server and page, with the two chat routes in OpenAI's format played by a script before them. */
export async function openChatSite(options: Partial<ServeOptions> = {}): Promise<ChatSite> {
  const site = await openSite(options);
  const front = createServer((incoming, response) => {
    const path = new URL(incoming.url ?? "/", site.server.url).pathname;
    const known = chat.key === undefined || incoming.headers.authorization === `Bearer ${chat.key}`;
    if (path.startsWith("/v1/") && !known) {
      response.writeHead(401, { "Content-Type": "application/json" });
      const error = { message: "the API key is not known here", type: "authentication_error" };
      response.end(JSON.stringify({ error: { ...error, param: null, code: "invalid_api_key" } }));
    } else if (path === "/v1/models" && chat.models === "loading") {
      response.writeHead(503, { "Content-Type": "application/json", "Retry-After": "1" });
      response.end(JSON.stringify({ error: { message: "the model is being loaded", type: "loading" } }));
    } else if (path === "/v1/models" && chat.models !== "loading") {
      // The model of the search is among them, as in the real list.
      const data = [...chat.models, "colours"].map((id) => ({
        id,
        object: "model",
        created: 0,
        owned_by: "stub",
      }));
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ object: "list", data }));
    } else if (path === "/v1/chat/completions") void complete(chat, incoming, response);
    else pass(site.server.port, incoming, response);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const url = `http://localhost:${(front.address() as AddressInfo).port}/`;
  const chat: ChatSite = {
    site,
    models: ["stub-8b"],
    key: undefined,
    requests: [],
    gaveUp: 0,
    answer: words("Hello"),
    open: (path = "?chat=new", contextOptions = {}) => site.open(url + path, contextOptions),
    async [Symbol.asyncDispose]() {
      front.close();
      front.closeAllConnections();
      await site[Symbol.asyncDispose]();
    },
  };
  return chat;
}

/** An answer that is these, one after the other. */
export function words(...scripted: readonly Scripted[]): ChatSite["answer"] {
  return async function* () {
    yield* scripted;
  };
}

/** A promise and what fulfils it. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

function pass(port: number, incoming: IncomingMessage, response: ServerResponse): void {
  const { method, headers, url } = incoming;
  const onward = request({ host: "127.0.0.1", port, path: url, method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  incoming.pipe(onward);
}

async function complete(chat: ChatSite, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const asked = JSON.parse(Buffer.concat(chunks).toString("utf8")) as ChatRequest;
  chat.requests.push(asked);
  let done = false;
  response.on("close", () => {
    if (!done) chat.gaveUp++;
  });
  const send = (event: unknown) => {
    if (!response.headersSent) response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`);
  };
  const choice = (delta: unknown, finish: string | null = null) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 0,
    model: asked.model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  });
  let tokens = 0;
  try {
    for await (const step of chat.answer(asked)) {
      if (typeof step === "object" && "event" in step) send(step.event);
      else if (typeof step === "object" && "cut" in step)
        return void setTimeout(() => response.destroy(), 200);
      else {
        tokens++;
        send(choice(typeof step === "string" ? { content: step } : { reasoning_content: step.thinking }));
      }
    }
    send(choice({}, "stop"));
    const usage = { prompt_tokens: 10, completion_tokens: tokens, total_tokens: 10 + tokens };
    send({ ...choice({}), choices: [], usage });
    send("[DONE]");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    response.writeHead(error.status, { "Content-Type": "application/json", ...error.headers });
    response.write(JSON.stringify({ error: { param: null, code: null, ...error.error } }));
  }
  done = true;
  response.end();
}
