import type { HostTensor } from "../core/array.ts";
import type { Device } from "../core/devices.ts";
import type { DType } from "../core/dtype.ts";
import { RuntimeFailure, UsageError } from "../core/errors.ts";
import { defaultThreads } from "./cores.node.ts";
import { type EnvironmentHold, holdEnvironment } from "./environment.node.ts";
import { Gate } from "./gate.ts";
import { InFlight } from "./in-flight.ts";
import { loadSession } from "./load-session.node.ts";
import { NativeSession } from "./native-session.node.ts";
import { NativeValue, type TensorMemory } from "./native-value.node.ts";
import { NativeWeights } from "./native-weights.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import type { Runtime, Session, SessionOptions, TensorSource, Value, WeightSet } from "./runtime.ts";

export interface RuntimeOptions {
  /** Where sessions compute; default: the CPU. Throws a RuntimeFailure with the first session where there is no GPU. */
  readonly device?: Device;
  /** Threads inside one operator, the caller's included; default: the physical cores. */
  readonly threads?: number;
}

/**
 * ONNX Runtime's C API in this process. Dispose of it after its values; its sessions are disposed of with it.
 * Runtimes of one process share the thread pool of the first; one that asks for another number of threads gets
 * pools of its own, one per session.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const threads = options.threads ?? defaultThreads();
  if (!Number.isInteger(threads) || threads < 1)
    throw new UsageError(`createRuntime: threads is ${threads}; give a whole number ≥ 1, or leave it out`);
  const environment = holdEnvironment(threads);
  return new NativeRuntime(environment, threads, options.device ?? "cpu");
}

/**
 * How many native calls may be under way: half of libuv's threads, so that files, names and pictures are served
 * while models run. A run uses all cores by itself; more of them at once would only wait for each other.
 */
function concurrentCalls(): number {
  const pool = Number(process.env.UV_THREADPOOL_SIZE) || 4;
  return Math.max(1, Math.floor(pool / 2));
}

const PROVIDERS: Readonly<Record<Device, readonly string[]>> = { cpu: [], webgpu: ["WebGPU"] };

class NativeRuntime implements Runtime {
  readonly description: string;
  readonly #memory: TensorMemory;
  readonly #gate = new Gate(concurrentCalls());
  readonly #loading = new InFlight();
  readonly #sessions = new Set<NativeSession>();
  #closing: Promise<void> | undefined;

  constructor(
    readonly environment: EnvironmentHold,
    readonly threads: number,
    readonly device: Device,
  ) {
    const { api } = environment;
    this.description = `onnxruntime ${api.version} (node, ${device})`;
    this.#memory = {
      api,
      allocator: api.make("GetAllocatorWithDefaultOptions", "starting ONNX Runtime"),
      cpu: api.make("CreateCpuMemoryInfo", "starting ONNX Runtime", 1, 0), // device allocator, default memory
    };
  }

  value(host: HostTensor): Value {
    return NativeValue.of(this.#open(), host);
  }

  empty(dtype: DType, shape: readonly number[]): Value {
    return NativeValue.empty(this.#open(), dtype, shape);
  }

  async weights(sources: ReadonlyMap<string, TensorSource>): Promise<WeightSet> {
    return NativeWeights.load(this.#open(), sources);
  }

  session(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    return this.#loading.track(this.#load(model, options));
  }

  async #load(model: Uint8Array, options: SessionOptions): Promise<Session> {
    const memory = this.#open();
    const weights = ownWeights(options.weights);
    weights?.acquire();
    try {
      const asked = { threads: this.threads, providers: PROVIDERS[this.device], ...options };
      const handle = await this.#gate.run(() => loadSession(this.environment, model, weights, asked));
      const onGpu = asked.providers.some((name) => name.toLowerCase() === "webgpu");
      const session = this.#own(memory, handle, weights, onGpu ? "webgpu" : "cpu");
      this.#sessions.add(session);
      return session;
    } catch (error) {
      weights?.release();
      throw error;
    }
  }

  #own(
    memory: TensorMemory,
    handle: Pointer,
    weights: NativeWeights | undefined,
    device: Device,
  ): NativeSession {
    try {
      const onClose = (session: NativeSession) => this.#sessions.delete(session);
      return new NativeSession(memory, this.#gate, handle, weights, device, onClose);
    } catch (error) {
      memory.api.release("ReleaseSession", handle); // its signature could not be read: nobody else knows of it
      throw error;
    }
  }

  #open(): TensorMemory {
    if (this.#closing) throw new RuntimeFailure("runtime: used after it was disposed of");
    return this.#memory;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#loading.settled();
    await Promise.all([...this.#sessions].map((session) => session[Symbol.asyncDispose]()));
    this.#memory.api.release("ReleaseMemoryInfo", this.#memory.cpu);
    this.environment[Symbol.dispose]();
  }
}

function ownWeights(weights: WeightSet | undefined): NativeWeights | undefined {
  if (weights === undefined || weights instanceof NativeWeights) return weights;
  throw new UsageError(
    "session: the WeightSet belongs to another runtime; make it with this one's weights()",
  );
}
