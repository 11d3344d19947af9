import type * as ort from "onnxruntime-web";
import type { HostTensor } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { RuntimeFailure, ShapeError, UsageError } from "../core/errors.ts";
import type { Gate } from "./gate.ts";
import { InFlight } from "./in-flight.ts";
import { checkFeeds, checkOutputs, misfit, type Port } from "./ports.ts";
import type { Binding, RunOptions, Session, Value } from "./runtime.ts";
import { dtypeOfWeb, fromWeb, toWeb, WebValue } from "./web-value.ts";

/** No log on the console: what goes wrong is in the error that is thrown. */
const QUIET = { logSeverityLevel: 4 } as const;

type Feeds = Readonly<Record<string, HostTensor | Value>>;

/** A model in onnxruntime-web. A run computes on the calling thread: it cannot be stopped once it has begun. */
export class WebSession implements Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly inputPorts: readonly Port[];
  readonly outputPorts: readonly Port[];
  readonly #running = new InFlight();
  #closing: Promise<void> | undefined;

  constructor(
    readonly session: ort.InferenceSession,
    readonly gate: Gate,
    readonly onClose: (session: WebSession) => void,
  ) {
    this.inputPorts = session.inputMetadata.map(toPort);
    this.outputPorts = session.outputMetadata.map(toPort);
    this.inputs = session.inputNames;
    this.outputs = session.outputNames;
  }

  run(
    feeds: Feeds,
    options: RunOptions & { readonly outputs?: readonly string[] } = {},
  ): Promise<Record<string, HostTensor>> {
    return this.#running.track(this.#run(feeds, options.outputs ?? this.outputs, options.signal));
  }

  async #run(
    feeds: Feeds,
    asked: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Record<string, HostTensor>> {
    if (this.#closing) throw new RuntimeFailure("session: used after it was disposed of");
    const names = checkOutputs(this.outputs, asked);
    checkFeeds(this.inputPorts, feeds);
    const tensors = Object.fromEntries(
      Object.entries(feeds).map(([name, feed]) => [name, toWeb(hostOf(name, feed))]),
    );
    return this.gate.run(async () => {
      const results = await this.session.run(tensors, names, QUIET).catch((cause: Error) => {
        throw new RuntimeFailure(`run: ${cause.message}`, { cause });
      });
      signal?.throwIfAborted();
      return Object.fromEntries(names.map((name) => [name, fromWeb(name, results[name]!)]));
    }, signal);
  }

  bind(): Binding {
    return new WebBinding(this);
  }

  empty(dtype: DType, shape: readonly number[]): Value {
    return new WebValue(dtype, [...shape]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#running.settled();
    await this.session.release();
    this.onClose(this);
  }
}

/** Bound values in JavaScript memory: outputs are copied into theirs after the run. */
class WebBinding implements Binding {
  readonly #inputs = new Map<string, WebValue>();
  readonly #outputs = new Map<string, WebValue>();
  #running = false;
  #disposed = false;

  constructor(readonly session: WebSession) {}

  input(name: string, value: Value): this {
    return this.#bind(this.#inputs, this.session.inputPorts, name, value);
  }

  output(name: string, value: Value): this {
    return this.#bind(this.#outputs, this.session.outputPorts, name, value);
  }

  async run(options: RunOptions = {}): Promise<void> {
    this.#idle("run");
    if (this.#outputs.size === 0)
      throw new UsageError("binding: run without an output; bind one with output()");
    for (const [name, value] of [...this.#inputs, ...this.#outputs]) checkAlive(name, value);
    this.#running = true;
    try {
      const outputs = [...this.#outputs.keys()];
      const results = await this.session.run(Object.fromEntries(this.#inputs), { ...options, outputs });
      for (const [name, value] of this.#outputs) value.write(fitting(name, value, results[name]!));
    } finally {
      this.#running = false;
    }
  }

  #bind(bound: Map<string, WebValue>, ports: readonly Port[], name: string, value: Value): this {
    this.#idle("bind");
    if (!(value instanceof WebValue))
      throw new UsageError(
        `binding: "${name}" is a value of another runtime; make it with this one's empty()`,
      );
    const port = ports.find((p) => p.name === name);
    if (port === undefined)
      throw new ShapeError(
        `binding: there is no "${name}"; the names are ${ports.map((p) => p.name).join(", ")}`,
      );
    const problem = misfit(port, value);
    if (problem !== undefined) throw new ShapeError(`binding: ${problem}`);
    bound.set(name, value);
    return this;
  }

  #idle(what: string): void {
    if (this.#disposed) throw new RuntimeFailure(`binding: ${what} after it was disposed of`);
    if (this.#running)
      throw new RuntimeFailure(
        `binding: ${what} while a run is in flight; await it, or make a second binding`,
      );
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) this.#idle("dispose");
    this.#disposed = true;
  }
}

function fitting(name: string, value: WebValue, result: HostTensor): HostTensor {
  if (`${result.shape}` !== `${value.shape}`)
    throw new ShapeError(
      `binding: output "${name}" came out as [${result.shape}], the bound value is [${value.shape}]`,
    );
  return result;
}

function checkAlive(name: string, value: WebValue): void {
  if (!value.alive)
    throw new RuntimeFailure(
      `binding: the value bound as "${name}" was disposed of; bind another before running`,
    );
}

function hostOf(name: string, feed: HostTensor | Value): HostTensor {
  if (feed instanceof WebValue) return feed.host;
  if ("data" in feed) return feed;
  throw new UsageError(
    `"${name}": the value belongs to another runtime; make it with this one's value() or empty()`,
  );
}

function toPort(metadata: ort.InferenceSession.ValueMetadata): Port {
  const { name } = metadata;
  if (!metadata.isTensor) return { name, dtype: undefined, shape: undefined };
  // An open rank is reported as an empty shape: neither can be told from the other, so neither is checked.
  const shape = metadata.shape.length === 0 ? undefined : metadata.shape;
  return { name, dtype: dtypeOfWeb(metadata.type), shape };
}
