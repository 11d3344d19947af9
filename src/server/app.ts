import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { matchedRoutes } from "hono/route";
import { addClassifyRoute } from "./classify-route.ts";
import type { Env, Services } from "./context.ts";
import { addEventsRoute } from "./events-route.ts";
import { addFolderRoutes } from "./folder-routes.ts";
import { Gate } from "./gate.ts";
import { sameOriginOnly } from "./guard.ts";
import { errorBody, HttpError, toHttpError } from "./http-error.ts";
import { Indexer } from "./indexer.ts";
import { LIMITS, type Limits } from "./limits.ts";
import { type Counter, Metrics } from "./metrics.ts";
import { ApiError, apiErrorBody, isApiPath } from "./openai/api-error.ts";
import { addOpenAiRoutes, type OpenAiOptions } from "./openai/routes.ts";
import type { Page } from "./page.ts";
import { addPictureRoutes } from "./picture-routes.ts";
import type { Library } from "./ports.ts";
import { addSearchRoutes } from "./search-routes.ts";

export interface AppOptions extends OpenAiOptions {
  /** A promise while the model is being loaded: until it resolves, the API answers 503. */
  readonly library: Library | Promise<Library>;
  /** The page's files; without them only the API is served. */
  readonly page?: Page | undefined;
  /** `true` when only this machine can connect. */
  readonly loopback: boolean;
  /** Whether folders may be added and removed over HTTP; default: `loopback`. */
  readonly folderChanges?: boolean | undefined;
  /** Host names, besides IP addresses and localhost, under which the server is reached. */
  readonly hostNames?: readonly string[] | undefined;
  /** Origins whose pages may use `/v1`, such as https://app.example, or * for all; default: none. */
  readonly allowOrigins?: readonly string[] | undefined;
  readonly limits?: Partial<Limits> | undefined;
  /** Is told of failures that are no mistake of the user, and of the request that they happened to. */
  readonly onDefect: (error: unknown, requestId?: string) => void;
}

export interface App {
  readonly fetch: Hono<Env>["fetch"];
  /** In-process requests, for tests. */
  readonly request: Hono<Env>["request"];
  /** Resolves when the library is loaded; rejects with the reason why it could not be. */
  readonly ready: Promise<{ readonly library: Library; readonly indexer: Indexer }>;
  /** Ends event streams and indexing; requests go on. Library and chat models are closed by their owner. */
  close(): Promise<void>;
  /** Resolves when no chat model works any more. */
  chatsEnded(): Promise<void>;
  /** Cancels the requests that are still running. */
  cancel(): void;
}

/** The page may load from this server only; pictures and videos that the user drops are blobs. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS = {
  "Content-Security-Policy": PAGE_POLICY,
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
} as const;

/** The HTTP API and the page, without a socket: see docs of each `*-routes.ts` for the endpoints. */
export function createApp(options: AppOptions): App {
  const closing = new AbortController();
  const cancelling = new AbortController();
  const limits = { ...LIMITS, ...options.limits };
  const loading = new Loading(options);
  const services: Services = {
    library: () => loading.parts().library,
    indexer: () => loading.parts().indexer,
    state: () => loading.state,
    gate: new Gate(limits.concurrent, limits.waiting),
    uploads: new Gate(limits.uploads, limits.waiting),
    limits,
    folderChanges: options.folderChanges ?? options.loopback,
  };
  const metrics = new Metrics();
  const requests = metrics.counter("internvl_http_requests_total", "Requests by route and status.", [
    "method",
    "route",
    "status",
  ]);
  const app = new Hono<Env>();
  addMiddleware(app, options, limits, cancelling.signal, requests);
  app.get("/healthz", (c) => c.json({ status: loading.health }));
  addStatusRoute(app, services);
  addSearchRoutes(app, services);
  addPictureRoutes(app, services);
  addClassifyRoute(app, services);
  addFolderRoutes(app, services);
  addEventsRoute(app, services, closing.signal);
  const openAi = addOpenAiRoutes(app, services, options, metrics);
  if (options.page) addPage(app, options.page);
  return {
    fetch: app.fetch,
    request: app.request,
    ready: loading.ready,
    async close() {
      closing.abort();
      const parts = await loading.ready.catch(() => undefined);
      await parts?.indexer.close();
    },
    chatsEnded: () => openAi.idle(),
    cancel: () => cancelling.abort(stopped()),
  };
}

/** What those are told whose requests take longer than a shutdown waits. */
const stopped = (): ApiError =>
  new ApiError(503, "the server was stopped before this was answered; ask again when it is back", {
    code: "server_stopped",
  });

const whyGone = ({ reason }: AbortSignal): HttpError =>
  reason instanceof HttpError ? reason : new HttpError(499, "the request was cancelled");

/** The library before, while and after it is loaded. */
class Loading {
  readonly ready: App["ready"];
  #parts: Awaited<App["ready"]> | undefined;
  #error: string | undefined;

  constructor({ library, onDefect }: AppOptions) {
    const take = (loaded: Library) => {
      this.#parts = { library: loaded, indexer: new Indexer(loaded.index, onDefect) };
      return this.#parts;
    };
    this.ready = library instanceof Promise ? library.then(take) : Promise.resolve(take(library));
    this.ready.catch((error: Error) => {
      this.#error = error.message;
    });
  }

  get health(): "ok" | "loading" | "failed" {
    if (this.#parts) return "ok";
    return this.#error === undefined ? "loading" : "failed";
  }

  get state() {
    return { loading: this.#parts === undefined, ...(this.#error !== undefined && { error: this.#error }) };
  }

  parts() {
    if (this.#parts) return this.#parts;
    const why = this.#error ? `the model could not be loaded: ${this.#error}` : "the model is being loaded";
    throw new HttpError(503, why, { "Retry-After": "1" });
  }
}

function addMiddleware(
  app: Hono<Env>,
  options: AppOptions,
  limits: Limits,
  cancelled: AbortSignal,
  requests: Counter,
): void {
  const failure = (c: Context<Env>, error: HttpError): Response => {
    const { status, message } = error;
    const body = isApiPath(c.req.path) ? apiErrorBody(error) : errorBody(status, message);
    // 499 is a number for logs: no one is left to read the answer.
    return c.json(body, status as 500, { ...error.headers });
  };
  app.onError((error, c) => {
    // What is thrown for a client that is gone may be of any kind.
    const known = c.var.gone?.aborted ? whyGone(c.var.gone) : toHttpError(error);
    if (known.status === 500) options.onDefect(error, c.var.requestId);
    return failure(c, known);
  });
  app.notFound((c) =>
    failure(c, new HttpError(404, `${c.req.method} ${c.req.path}: there is no such address`)),
  );
  app.use(requestId());
  app.use(async (c, next) => {
    await next();
    // The pattern, not the path: as many series as there are routes. Middleware has a * in it.
    const route = matchedRoutes(c).findLast(({ path }) => !path.endsWith("*"))?.path ?? "other";
    requests.add([c.req.method, route, String(c.res.status)]);
  });
  app.use(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(SECURITY_HEADERS))
      if (!c.res.headers.has(name)) c.res.headers.set(name, value);
    if (!c.res.headers.has("Cache-Control")) c.res.headers.set("Cache-Control", "no-store");
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        failure(
          c as Context<Env>,
          new HttpError(405, `${c.req.method} ${c.req.path}: use ${methods.join(" or ")}`, {
            Allow: methods.join(", "),
          }),
        ),
    }),
  );
  const allowed = new Set(options.allowOrigins ?? []);
  const allows = (origin: string) => allowed.has("*") || allowed.has(origin);
  app.use(
    sameOriginOnly({
      loopback: options.loopback,
      names: options.hostNames ?? [],
      allows: (origin, path) => isApiPath(path) && allows(origin),
    }),
  );
  if (allowed.size > 0)
    app.use(
      "/v1/*",
      cors({
        origin: (origin) => (allows(origin) ? origin : null),
        allowMethods: ["GET", "POST"],
        exposeHeaders: ["X-Request-Id", "Retry-After"],
        maxAge: 600,
      }),
    );
  app.use(async (c, next) => {
    const gone = AbortSignal.any([c.req.raw.signal, cancelled]);
    c.set("gone", gone);
    c.set("signal", AbortSignal.any([gone, AbortSignal.timeout(limits.requestMs)]));
    await next();
  });
}

function addStatusRoute(app: Hono<Env>, services: Services): void {
  app.get("/api/status", async (c) => {
    const { uploadBytes, labels } = services.limits;
    const known = {
      ...services.state(),
      folderChanges: services.folderChanges,
      limits: { uploadBytes, labels },
    };
    if (known.loading) return c.json(known);
    const { index, model } = services.library();
    const { images, failed, folders } = await index.stats();
    return c.json({
      ...known,
      model,
      pictures: images,
      failed,
      folders: folders.length,
    });
  });
}

function addPage(app: Hono<Env>, page: Page): void {
  for (const [path, file] of page.files)
    app.get(path, (c) => {
      const headers = {
        "Content-Type": file.type,
        "Cache-Control": file.immutable ? "public, max-age=31536000, immutable" : "no-cache",
        ETag: file.etag,
      };
      if (c.req.header("if-none-match") === file.etag) return c.body(null, 304, headers);
      return c.body(file.bytes, 200, headers);
    });
}
