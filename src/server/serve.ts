import type { Server } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { hostname } from "node:os";
import { createAdaptorServer } from "@hono/node-server";
import { UsageError } from "../core/errors.ts";
import { type App, type AppOptions, createApp } from "./app.ts";
import { checkFolder } from "./folder-routes.ts";
import { isLoopback } from "./guard.ts";
import type { FolderJob } from "./indexer.ts";
import { LIMITS } from "./limits.ts";
import type { OpenAiOptions } from "./openai/routes.ts";
import { loadPage, type Page } from "./page.ts";
import type { Library } from "./ports.ts";

/** The chat models are closed by the server, as the library is. */
export interface ServeOptions extends OpenAiOptions {
  /** A promise while the model is being loaded: the page opens at once and says so. Closed by the server. */
  readonly library: Library | Promise<Library>;
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string | undefined;
  /** Default 4747; 0 lets the system choose. */
  readonly port?: number | undefined;
  /** Folders to bring into the index, in this order and before those it has already, as soon as it is there. */
  readonly folders?: readonly string[] | undefined;
  /** Default: the package's own page. `false` serves the API only. */
  readonly page?: Page | false | undefined;
  /** Lets other machines, if `host` lets them in, add and remove folders. Default false. */
  readonly remoteFolderChanges?: boolean | undefined;
  /** Names under which the server may be opened besides IP addresses, localhost, `host` and this machine's name. */
  readonly hostNames?: readonly string[] | undefined;
  /** Origins whose pages may use `/v1`, such as https://app.example, or * for all; default: none. */
  readonly allowOrigins?: readonly string[] | undefined;
  readonly limits?: AppOptions["limits"];
  /** How long a shutdown waits for requests in flight. Default 5 seconds. */
  readonly graceMs?: number | undefined;
  /** Default: writes them to stderr. The request is called as in its `X-Request-Id`. */
  readonly onDefect?: AppOptions["onDefect"] | undefined;
}

export interface RunningServer {
  /** Where the page is, such as http://localhost:4747/ */
  readonly url: string;
  readonly port: number;
  /** Resolves when searches can be answered; rejects when the library cannot be loaded or a folder is no folder. */
  readonly ready: Promise<void>;
  /** Resolves when, besides, all folders have been gone through: with those that failed, and why. */
  readonly indexed: Promise<readonly FolderJob[]>;
  /** Stops listening, finishes requests in flight (within the grace), stops indexing, closes the library. */
  close(): Promise<void>;
}

export const DEFAULT_PORT = 4747;

/** Serves the page and its API. Throws a UsageError when the address cannot be had. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  // It may fail while the page is being built, before the app looks at it: who waits for `ready` is told.
  Promise.resolve(options.library).catch(() => {});
  const host = options.host ?? "127.0.0.1";
  const loopback = isLoopback(host);
  const page = options.page === false ? undefined : (options.page ?? (await loadPage()));
  const onDefect = options.onDefect ?? logDefect;
  const app = createApp({
    library: options.library,
    page,
    loopback,
    folderChanges: loopback || options.remoteFolderChanges === true,
    hostNames: [...(loopback ? [] : [host, hostname()]), ...(options.hostNames ?? [])],
    allowOrigins: options.allowOrigins,
    limits: options.limits,
    chatModels: options.chatModels,
    apiKeys: options.apiKeys,
    remotePictures: options.remotePictures,
    onDefect,
  });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  server.headersTimeout = 10_000;
  server.requestTimeout = 120_000;
  server.keepAliveTimeout = 5_000;
  server.maxHeadersCount = 100;
  // A client that has stopped reading; event streams say something more often.
  server.timeout = 120_000;
  server.maxConnections = options.limits?.connections ?? LIMITS.connections;
  const port = await listen(server, host, options.port ?? DEFAULT_PORT);
  // Such as too many open files when a connection is accepted: the server goes on.
  server.on("error", (error) => onDefect(error));
  const ready = startFolders(app.ready, options.folders ?? []);
  const indexed = ready.then(async () => {
    const { indexer } = await app.ready;
    await indexer.idle();
    return indexer.jobs.filter((job) => job.state === "failed");
  });
  // Whoever does not look at these still sees the failure on the page.
  ready.catch(() => {});
  indexed.catch(() => {});

  let closed: Promise<void> | undefined;
  return {
    url: `http://${urlHost(host)}:${port}/`,
    port,
    ready,
    indexed,
    close: () => (closed ??= shutDown(server, app, options)),
  };
}

function logDefect(error: unknown, requestId?: string): void {
  if (requestId === undefined) console.error(error);
  else console.error(`request ${requestId}:`, error);
}

async function startFolders(ready: App["ready"], folders: readonly string[]) {
  const { indexer, library } = await ready;
  for (const folder of folders) indexer.add(await checkFolder(folder));
  // What changed in the known folders while no one looked.
  for (const folder of await library.index.folders()) indexer.add(folder);
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(explain(error, host, port));
    server.once("error", refuse);
    server.listen(port, host, () => {
      server.off("error", refuse);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  switch (error.code) {
    case "EADDRINUSE":
      return new UsageError(
        `port ${port} is in use on ${host}: another program, or this one started twice; choose another, such as ${port + 1}`,
      );
    case "EACCES":
      return new UsageError(`port ${port} may not be opened by this user; choose one above 1023`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new UsageError(`host ${host} is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all`);
    default:
      return error;
  }
}

/** What a browser on this machine calls the address. */
function urlHost(host: string): string {
  if (host === "127.0.0.1" || host === "0.0.0.0" || host === "::" || host === "::1") return "localhost";
  return isIPv6(host) ? `[${host}]` : host;
}

/** What is cancelled may say so for as long. */
const LAST_WORDS_MS = 1_000;

/**
 * First no new connections, no event streams and no more indexing, while requests in flight go on; what is not
 * finished after the grace is cancelled. The whole takes little longer than the grace, even if the model is still
 * being loaded.
 */
async function shutDown(server: Server, app: App, options: ServeOptions): Promise<void> {
  const graceMs = options.graceMs ?? 5_000;
  const ended = new Promise<void>((resolve) => server.close(() => resolve()));
  const stopped = app.close();
  server.closeIdleConnections();
  // A kept-alive connection becomes idle only when its last answer is out.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  await within(graceMs, Promise.all([ended, stopped]));
  app.cancel();
  // Streams end with an event that says why.
  await within(LAST_WORDS_MS, ended);
  clearInterval(idle);
  server.closeAllConnections();
  const closed = Promise.all([options.library, stopped]).then(
    ([library]) => library.close(),
    () => {},
  );
  // A model is closed when the last answer has given it back.
  const chatsClosed = app.chatsEnded().then(async () => {
    for (const model of options.chatModels?.values() ?? []) await model[Symbol.asyncDispose]();
  });
  await within(graceMs, Promise.all([closed, chatsClosed]));
}

/** Waits for `task`, but no longer than `ms`. */
async function within(ms: number, task: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([task, timeout]).finally(() => clearTimeout(timer));
}
