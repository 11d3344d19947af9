import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, StringStringEntryProtoSchema, TensorProto_DataLocation } from "onnx-buf";
import * as ort from "onnxruntime-web";
import { type HostTensor, rawBytes } from "../core/array.ts";
import type { ArrayOf, DType } from "../core/dtype.ts";
import { RuntimeFailure, UsageError } from "../core/errors.ts";
import { checkHost, loadChecked } from "./check-host.ts";
import { checkWeights, declaredWeights } from "./external-weights.ts";
import { Gate } from "./gate.ts";
import { InFlight } from "./in-flight.ts";
import type { Runtime, Session, SessionOptions, TensorSource, Value, WeightSet } from "./runtime.ts";
import { WebSession } from "./web-session.ts";
import { WebValue } from "./web-value.ts";

export interface RuntimeOptions {
  /** Threads of the wasm build; default 1. More need a page that is cross-origin isolated. */
  readonly threads?: number;
}

const OPTIMIZATION = { off: "disabled", basic: "basic", extended: "extended", all: "all" } as const;

/** onnxruntime-web (wasm) behind the same interface. Tensors live in JavaScript memory. */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { threads = 1 } = options;
  if (!Number.isInteger(threads) || threads < 1)
    throw new UsageError(`createRuntime: threads is ${threads}; give a whole number ≥ 1, or leave it out`);
  ort.env.wasm.numThreads = threads; // takes effect with the first session of the page
  ort.env.logLevel = "fatal";
  return new WebRuntime(threads);
}

class WebRuntime implements Runtime {
  readonly device = "cpu";
  readonly description = `onnxruntime ${ort.env.versions.web ?? "?"} (web, wasm)`;
  /** The wasm instance is one, and so is its stack: calls go one after another. */
  readonly #gate = new Gate(1);
  readonly #loading = new InFlight();
  readonly #sessions = new Set<WebSession>();
  #disposed = false;

  constructor(readonly threads: number) {}

  value(host: HostTensor): Value {
    this.#check();
    return WebValue.of(host);
  }

  empty(dtype: DType, shape: readonly number[]): Value {
    this.#check();
    return new WebValue(dtype, [...shape]);
  }

  async weights(sources: ReadonlyMap<string, TensorSource>): Promise<WeightSet> {
    this.#check();
    return WebWeights.load(sources);
  }

  session(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    return this.#loading.track(this.#load(model, options));
  }

  async #load(model: Uint8Array, options: SessionOptions): Promise<Session> {
    this.#check();
    const weights = ownWeights(options.weights)?.tensors ?? new Map<string, HostTensor>();
    checkWeights(declaredWeights(model), weights);
    const native = webOptions(options, this.threads);
    const [bytes, externalData] = giveWeights(model, weights);
    const session = await this.#gate.run(() =>
      ort.InferenceSession.create(bytes, { ...native, externalData }).catch((cause: Error) => {
        throw new RuntimeFailure(`session: ${cause.message}`, { cause });
      }),
    );
    const wrapped = new WebSession(session, this.#gate, (s) => this.#sessions.delete(s));
    this.#sessions.add(wrapped);
    return wrapped;
  }

  #check(): void {
    if (this.#disposed) throw new RuntimeFailure("runtime: used after it was disposed of");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#loading.settled();
    await Promise.all([...this.#sessions].map((session) => session[Symbol.asyncDispose]()));
  }
}

/** Tensors in JavaScript memory, copied or loaded for the set alone; a session copies them into its own. */
class WebWeights implements WeightSet {
  readonly #tensors = new Map<string, HostTensor>();
  #disposed = false;

  private constructor() {}

  static async load(sources: ReadonlyMap<string, TensorSource>): Promise<WebWeights> {
    const weights = new WebWeights();
    for (const [key, source] of sources) {
      const where = `weights: ${key}`;
      if ("file" in source)
        throw new UsageError(`${where} is in ${source.file}, and the web has no files; read it first`);
      if ("load" in source) weights.#tensors.set(key, await loadChecked(where, source));
      else {
        checkHost(where, source);
        weights.#tensors.set(key, { ...source, data: source.data.slice() as ArrayOf<DType> });
      }
    }
    return weights;
  }

  get keys(): ReadonlySet<string> {
    return new Set(this.#tensors.keys());
  }

  get tensors(): ReadonlyMap<string, HostTensor> {
    if (this.#disposed) throw new RuntimeFailure("session: its WeightSet was disposed of already");
    return this.#tensors;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#tensors.clear();
  }
}

function ownWeights(weights: WeightSet | undefined): WebWeights | undefined {
  if (weights === undefined || weights instanceof WebWeights) return weights;
  throw new UsageError(
    "session: the WeightSet belongs to another runtime; make it with this one's weights()",
  );
}

/** Gives every external weight a file of its own: onnxruntime-web takes them as named blocks of bytes. */
function giveWeights(
  bytes: Uint8Array,
  weights: ReadonlyMap<string, HostTensor>,
): [Uint8Array, { path: string; data: Uint8Array }[]] {
  if (weights.size === 0) return [bytes, []];
  const model = fromBinary(ModelProtoSchema, bytes);
  const files = (model.graph?.initializer ?? [])
    .filter((tensor) => tensor.dataLocation === TensorProto_DataLocation.EXTERNAL)
    .map((tensor, i) => {
      const path = `weight${i}`;
      tensor.externalData = [create(StringStringEntryProtoSchema, { key: "location", value: path })];
      return { path, data: rawBytes(weights.get(tensor.name)!) };
    });
  return [toBinary(ModelProtoSchema, model), files];
}

function webOptions(options: SessionOptions, threads: number): ort.InferenceSession.SessionOptions {
  if (options.profile !== undefined)
    throw new UsageError("session: profile is a file, which the web cannot write; leave it out");
  if (options.threads !== undefined && options.threads !== threads)
    throw new UsageError(
      `session: the wasm build has ${threads} thread(s) for all sessions; set them in createRuntime`,
    );
  const providers = (options.providers ?? [])
    .map((name) => name.toLowerCase())
    .filter((name) => name !== "cpu");
  const unknown = providers.filter((name) => name !== "webgpu" && name !== "webnn");
  if (unknown.length > 0)
    throw new UsageError(`session: no provider ${unknown.join(", ")}; this library has WebGPU, WebNN, CPU`);
  return {
    executionProviders: [...providers, "wasm"],
    graphOptimizationLevel: OPTIMIZATION[options.optimization ?? "all"],
    logSeverityLevel: 4, // fatal: what goes wrong is in the error that is thrown
    extra: { session: { disable_prepacking: options.prepack === false ? "1" : "0" } },
  };
}
