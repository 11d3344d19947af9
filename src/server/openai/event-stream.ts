import { HttpError } from "../http-error.ts";

export interface EventStreamOptions {
  /** Bytes that wait for the reader before the source has to. */
  readonly bufferedBytes: number;
  /** How long a reader whose buffer is full may take nothing. */
  readonly stalledMs: number;
  /** The last event of a source that fails. */
  readonly onError: (error: unknown) => string;
  /** Called when the client is gone: the source should end. */
  readonly onLeave: () => void;
  /** Held for as long as the stream is: once a request is collected as garbage, its signal is never aborted. */
  readonly request: Request;
}

/** Keeps proxies and clients from giving the stream up while the source works on what comes next. */
const HEARTBEAT_MS = 15_000;

/**
 * Events as the body of an answer (Server-Sent Events). The source runs at its own speed until the buffer is full and
 * then waits; it is finished early, with `return`, when the client is gone or takes nothing for too long.
 */
export function eventStream(
  events: AsyncIterable<string>,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const pump = new Pump(events, options);
  return new ReadableStream(pump, new ByteLengthQueuingStrategy({ highWaterMark: options.bufferedBytes }));
}

/** `data:` of one event; JSON has no line breaks of its own. */
export const dataEvent = (data: object | "[DONE]"): string =>
  `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

class Pump implements UnderlyingDefaultSource<Uint8Array> {
  readonly #encoder = new TextEncoder();
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #left = false;
  #onRoom: (() => void) | undefined;

  constructor(
    readonly events: AsyncIterable<string>,
    readonly options: EventStreamOptions,
  ) {}

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    void this.#run();
  }

  pull(): void {
    this.#onRoom?.();
  }

  cancel(): void {
    this.#left = true;
    this.options.onLeave();
    this.#onRoom?.();
  }

  async #run(): Promise<void> {
    const heartbeat = setInterval(() => {
      if (this.#hasRoom()) this.#send(": still here\n\n");
    }, HEARTBEAT_MS);
    try {
      for await (const event of this.events) {
        if (this.#left) break;
        this.#send(event);
        if (!this.#hasRoom()) await this.#room();
      }
    } catch (error) {
      if (!this.#left) this.#send(this.options.onError(error));
    } finally {
      clearInterval(heartbeat);
      if (!this.#left) this.#controller.close();
    }
  }

  #send(text: string): void {
    this.#controller.enqueue(this.#encoder.encode(text));
  }

  #hasRoom(): boolean {
    return (this.#controller.desiredSize ?? 0) > 0;
  }

  /** Resolves when the reader has taken something, or is gone. */
  async #room(): Promise<void> {
    const { stalledMs } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const room = new Promise<void>((resolve, reject) => {
      this.#onRoom = resolve;
      const stalled = `the reader took nothing for ${stalledMs} ms, so the answer was given up; read it as it comes`;
      timer = setTimeout(() => reject(new HttpError(499, stalled)), stalledMs);
    });
    await room.finally(() => {
      clearTimeout(timer);
      this.#onRoom = undefined;
    });
  }
}
