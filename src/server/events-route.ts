import type { Hono } from "hono";
import type { Env, Services } from "./context.ts";
import { HttpError } from "./http-error.ts";
import type { FolderJob, Indexer } from "./indexer.ts";

/** Keeps proxies and browsers from giving the stream up. */
const HEARTBEAT_MS = 15_000;

const BUFFERED_EVENTS = 16;

/**
 * `GET /api/events`: Server-Sent Events. On connection one `job` event for every known job, then one whenever a job
 * changes. A reader that does not keep up loses the older events, since each tells the whole state of its job.
 */
export function addEventsRoute(app: Hono<Env>, services: Services, closing: AbortSignal): void {
  let open = 0;

  app.get("/api/events", (c) => {
    const indexer = services.indexer();
    if (open >= services.limits.eventStreams)
      throw new HttpError(429, `${open} event streams are open already; close a tab`);
    open++;
    const source = new JobStream(indexer, c.req.raw, closing, () => {
      open--;
    });
    const stream = new ReadableStream(source, new CountQueuingStrategy({ highWaterMark: BUFFERED_EVENTS }));
    return c.body(stream, 200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  });
}

/** The latest state of each job that the reader has not been told yet. */
class JobStream implements UnderlyingDefaultSource<Uint8Array> {
  readonly #pending = new Map<string, FolderJob>();
  readonly #encoder = new TextEncoder();
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #heartbeat: NodeJS.Timeout | undefined;
  readonly #leave: AbortSignal;
  #unsubscribe = () => {};

  constructor(
    readonly indexer: Indexer,
    /** Held for as long as the stream is: once it is collected as garbage, its signal is never aborted. */
    readonly request: Request,
    closing: AbortSignal,
    readonly onEnd: () => void,
  ) {
    this.#leave = AbortSignal.any([request.signal, closing]);
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    for (const job of this.indexer.jobs) this.#pending.set(job.folder, job);
    this.#unsubscribe = this.indexer.subscribe((job) => {
      this.#pending.set(job.folder, job);
      this.pull();
    });
    this.#heartbeat = setInterval(() => this.#send(": still here\n\n"), HEARTBEAT_MS);
    this.#leave.addEventListener("abort", this.#close, { once: true });
    this.#send(": connected\n\n");
  }

  pull(): void {
    for (const [folder, job] of this.#pending) {
      if (!this.#send(`event: job\ndata: ${JSON.stringify(job)}\n\n`)) return;
      this.#pending.delete(folder);
    }
  }

  cancel(): void {
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    this.#leave.removeEventListener("abort", this.#close);
    this.onEnd();
  }

  readonly #close = () => {
    this.cancel();
    this.#controller.close();
  };

  /** `false` when the reader has not taken what was sent before. */
  #send(text: string): boolean {
    if ((this.#controller.desiredSize ?? 0) <= 0) return false;
    this.#controller.enqueue(this.#encoder.encode(text));
    return true;
  }
}
