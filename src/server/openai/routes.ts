import type { Hono } from "hono";
import type { ChatModel } from "../../infer/chat-model.ts";
import type { Env, Services } from "../context.ts";
import { Gate } from "../gate.ts";
import type { Metrics } from "../metrics.ts";
import { Answers } from "./answers.ts";
import { keysOnly } from "./clients.ts";
import { addEmbeddingRoute } from "./embedding-routes.ts";
import { addChatRoute, addCompletionRoute } from "./generation-routes.ts";
import type { RemotePictures } from "./media-source.ts";
import { addModelRoutes } from "./model-routes.ts";
import { PictureMemory } from "./picture-memory.ts";

export interface OpenAiOptions {
  /** Models that answer, by the names that requests ask for. */
  readonly chatModels?: ReadonlyMap<string, ChatModel> | undefined;
  /** Who sends one of these may use `/v1` and `/metrics`; none (default): everyone who reaches the server. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Default: neither pictures nor videos are downloaded. */
  readonly remotePictures?: RemotePictures | undefined;
}

/** The OpenAI-compatible API under `/v1`. Resolves `idle` when no chat model works any more. */
export function addOpenAiRoutes(
  app: Hono<Env>,
  services: Services,
  options: OpenAiOptions & { readonly onDefect: (error: unknown, requestId: string) => void },
  metrics: Metrics,
): { readonly idle: () => Promise<void> } {
  const { chat } = services.limits;
  const answers = new Answers(options.chatModels ?? new Map(), chat, metrics);
  const memory = new PictureMemory(chat.pictureBytes);
  const apiKeys = options.apiKeys ?? [];
  const downloads = new Gate(chat.downloads, chat.waiting);
  const videos = new Gate(chat.videoReads, chat.waiting);
  const api = { services, answers, memory, downloads, videos, remote: options.remotePictures, apiKeys };
  metrics.gauge("internvl_picture_bytes", "Memory of the decoded pictures of requests in flight.", [], () => [
    [[], memory.taken],
  ]);
  app.use("/v1/*", keysOnly(apiKeys));
  app.use("/metrics", keysOnly(apiKeys));
  addModelRoutes(app, api);
  addChatRoute(app, api, options.onDefect);
  addCompletionRoute(app, api, options.onDefect);
  addEmbeddingRoute(app, api);
  app.get("/metrics", (c) =>
    c.body(metrics.text(), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  return { idle: () => answers.idle() };
}
