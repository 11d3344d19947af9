import type { HostTensor } from "../core/array.ts";
import type { Device } from "../core/devices.ts";
import type { DType } from "../core/dtype.ts";
import { RuntimeFailure, UsageError } from "../core/errors.ts";
import { Cleanup } from "./cleanup.ts";
import type { Gate } from "./gate.ts";
import { InFlight } from "./in-flight.ts";
import { koffi } from "./koffi.node.ts";
import { NativeBinding } from "./native-binding.node.ts";
import { NativeValue, readOrtValue, type TensorMemory } from "./native-value.node.ts";
import type { NativeWeights } from "./native-weights.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import { checkFeeds, checkOutputs, type Port } from "./ports.ts";
import type { Binding, RunOptions, Session, Value } from "./runtime.ts";
import { ports } from "./signature.node.ts";

/** A loaded model. Runs may overlap; disposing waits for them. */
export class NativeSession implements Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly inputPorts: readonly Port[];
  readonly outputPorts: readonly Port[];
  readonly #bindings = new Set<NativeBinding>();
  readonly #running = new InFlight();
  #handle: Pointer;
  /** Of the GPU's memory, once something was asked for there. */
  #allocator: Pointer | undefined;
  #closing: Promise<void> | undefined;

  /** Takes over the native session, and the hold on `weights`. `onClose` runs once, when it is released. */
  constructor(
    readonly memory: TensorMemory,
    readonly gate: Gate,
    handle: Pointer,
    readonly weights: NativeWeights | undefined,
    readonly device: Device,
    readonly onClose: (session: NativeSession) => void,
  ) {
    this.#handle = handle;
    this.inputPorts = ports(memory, handle, "Input");
    this.outputPorts = ports(memory, handle, "Output");
    this.inputs = this.inputPorts.map((p) => p.name);
    this.outputs = this.outputPorts.map((p) => p.name);
  }

  /** The OrtSession; throws a RuntimeFailure once disposed of. */
  get handle(): Pointer {
    if (this.#closing) throw new RuntimeFailure("session: used after it was disposed of");
    return this.#handle;
  }

  run(
    feeds: Readonly<Record<string, HostTensor | Value>>,
    options: RunOptions & { readonly outputs?: readonly string[] } = {},
  ): Promise<Record<string, HostTensor>> {
    return this.track(this.#run(feeds, options.outputs ?? this.outputs, options.signal));
  }

  async #run(
    feeds: Readonly<Record<string, HostTensor | Value>>,
    outputs: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Record<string, HostTensor>> {
    const { api, cpu } = this.memory;
    const names = checkOutputs(this.outputs, outputs);
    checkFeeds(this.inputPorts, feeds);
    using made = new Cleanup();
    const io = api.make("CreateIoBinding", "run", this.handle);
    made.defer(() => api.release("ReleaseIoBinding", io));
    for (const [name, feed] of Object.entries(feeds)) {
      const value = asNative(name, feed) ?? made.use(NativeValue.of(this.memory, feed as HostTensor));
      api.call("BindInput", `run: input "${name}"`, io, name, value.handle);
    }
    for (const name of names) api.call("BindOutputToDevice", `run: output "${name}"`, io, name, cpu);
    await this.execute(io, signal);
    return this.#collect(io, names);
  }

  bind(): Binding {
    const io = this.memory.api.make("CreateIoBinding", "bind", this.handle);
    const binding = new NativeBinding(this, io, (b) => this.#bindings.delete(b));
    this.#bindings.add(binding);
    return binding;
  }

  empty(dtype: DType, shape: readonly number[]): Value {
    if (this.device === "cpu") return NativeValue.empty(this.memory, dtype, shape);
    this.#allocator ??= deviceAllocator(this.memory, this.handle);
    return NativeValue.onDevice(this.memory, this.#allocator, dtype, shape);
  }

  /** Makes disposal wait for `work`. */
  track<T>(work: Promise<T>): Promise<T> {
    return this.#running.track(work);
  }

  /** Runs what is bound on a worker thread. What is bound must live until the promise settles. */
  execute(io: Pointer, signal?: AbortSignal): Promise<void> {
    const session = this.handle;
    return this.gate.run(() => this.#call(session, io, signal), signal);
  }

  async #call(session: Pointer, io: Pointer, signal?: AbortSignal): Promise<void> {
    const { api } = this.memory;
    if (signal === undefined) return api.callAsync("RunWithBinding", "run", session, 0n, io);
    const runOptions = api.make("CreateRunOptions", "run");
    const stop = () => api.call("RunOptionsSetTerminate", "stopping a run", runOptions);
    signal.addEventListener("abort", stop, { once: true });
    try {
      await api.callAsync("RunWithBinding", "run", session, runOptions, io);
    } catch (error) {
      signal.throwIfAborted(); // the runtime's own "terminate flag" error says less
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      api.release("ReleaseRunOptions", runOptions);
    }
    signal.throwIfAborted();
  }

  /** The outputs of a finished run, copied out. */
  #collect(io: Pointer, names: readonly string[]): Record<string, HostTensor> {
    const { api, allocator } = this.memory;
    const count: [number] = [0];
    const array: [Pointer | null] = [null];
    api.call("GetBoundOutputValues", "run: reading outputs", io, allocator, array, count);
    if (!array[0]) return {};
    const handles = koffi.decode(array[0], "void *", Number(count[0])) as Pointer[];
    api.call("AllocatorFree", "run: reading outputs", allocator, array[0]);
    using values = new Cleanup();
    for (const handle of handles) values.defer(() => api.release("ReleaseValue", handle));
    return Object.fromEntries(names.map((name, i) => [name, readOrtValue(this.memory, handles[i]!, name)]));
  }

  /** Waits for the runs in flight, then releases the session and its bindings. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#running.settled();
    for (const binding of this.#bindings) binding.release();
    if (this.#allocator !== undefined) this.memory.api.release("ReleaseAllocator", this.#allocator);
    this.memory.api.release("ReleaseSession", this.#handle);
    this.#handle = 0n;
    this.weights?.release();
    this.onClose(this);
  }
}

/** ONNX Runtime's name of WebGPU's memory (core/framework/allocator.h). */
const WEBGPU_MEMORY = "WebGPU_Buf";

/** What allocates where a session on a GPU computes. */
function deviceAllocator({ api }: TensorMemory, session: Pointer): Pointer {
  const doing = "finding the GPU's memory";
  const info = api.make("CreateMemoryInfo", doing, WEBGPU_MEMORY, 0, 0, 0); // device allocator, first device, default memory
  try {
    return api.make("CreateAllocator", doing, session, info);
  } finally {
    api.release("ReleaseMemoryInfo", info);
  }
}

/** The feed as this runtime's value; undefined for a tensor in JavaScript memory. */
export function asNative(name: string, feed: HostTensor | Value): NativeValue | undefined {
  if (feed instanceof NativeValue) return feed;
  if ("data" in feed) return undefined;
  throw new UsageError(
    `"${name}": the value belongs to another runtime; make it with this one's value() or empty()`,
  );
}
