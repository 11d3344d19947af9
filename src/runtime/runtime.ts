import type { HostTensor } from "../core/array.ts";
import type { Device } from "../core/devices.ts";
import type { DType } from "../core/dtype.ts";

/** What the rest of the system knows of a runtime: ONNX bytes in, tensors out. `ort.node.ts` and `ort.web.ts` implement it. */
export interface Runtime extends AsyncDisposable {
  /** e.g. "onnxruntime 1.30.0 (node, cpu)". */
  readonly description: string;
  /** Where sessions compute unless they say otherwise. */
  readonly device: Device;
  /** A tensor in the runtime's memory, holding a copy of `host`. */
  value(host: HostTensor): Value;
  /** An uninitialised tensor in the runtime's memory. */
  empty(dtype: DType, shape: readonly number[]): Value;
  /**
   * Weights in the runtime's memory, by key, to be shared between sessions. A source that names a file is mapped
   * rather than read where the platform allows; lazy ones are loaded in turn, and each is let go before the next.
   */
  weights(sources: ReadonlyMap<string, TensorSource>): Promise<WeightSet>;
  /** Loads a model. Throws RuntimeFailure with the runtime's own message when it is refused. */
  session(model: Uint8Array, options?: SessionOptions): Promise<Session>;
}

/** Where a tensor's data is: in memory, in a byte range of a file (row-major, little-endian), or not made yet. */
export type TensorSource = HostTensor | FileTensor | LazyTensor;

export interface FileTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** Byte offset in the file. */
  readonly offset: number;
}

/** A tensor that is made when it is asked for: known by dtype and shape, held by nobody. */
export interface LazyTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  load(): Promise<HostTensor>;
}

/** Weights held by a runtime. Dispose of it after the sessions that use it. */
export interface WeightSet extends Disposable {
  readonly keys: ReadonlySet<string>;
}

export interface SessionOptions {
  /** Weights for the model's external initializers, by name. */
  readonly weights?: WeightSet;
  /** Threads inside one operator; default: the number of physical cores. */
  readonly threads?: number;
  /**
   * Microseconds that threads wait for the next operator before they sleep; default 0. More gives the session threads of
   * its own, and makes steps of many short operators faster where nothing else runs; a busy machine loses what the threads
   * wait, so a few tens at most (docs/LOG.md, 2026-11-29). Browsers take no notice.
   */
  readonly spinMicroseconds?: number;
  /** Graph optimisation by the runtime; default "all". */
  readonly optimization?: "off" | "basic" | "extended" | "all";
  /** Pack constant weights for the kernels (faster runs, one more copy in memory); default true. */
  readonly prepack?: boolean;
  /** Share packed weights with the other sessions made from the same WeightSet; default true. */
  readonly sharePacked?: boolean;
  /**
   * Execution providers in order of preference, the CPU always last, by the names that the library has built in: "WebGPU", …
   * Default: the runtime's device.
   */
  readonly providers?: readonly string[];
  /** Path prefix of a profile that the runtime writes when the session is disposed of. */
  readonly profile?: string;
}

export interface RunOptions {
  /** Stops the run at the next operator; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A tensor in the runtime's memory. Disposing of it twice is harmless; using it afterwards throws. */
export interface Value extends Disposable {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Copies the contents out. */
  read(): Promise<HostTensor>;
  /** Copies `host` in; dtype and size must be the value's own. */
  write(host: HostTensor): void;
  /** `count` rows of the first axis from `start` on, over the same memory: to be disposed of before this value. */
  rows(start: number, count: number): Value;
  /** Copies the `length` elements from `from` on to those from `to` on, row-major; the ranges must not overlap. */
  copy(from: number, to: number, length: number): void;
  /** Exchanges the `length` elements from `a` on with those from `b` on, as {@link copy}. */
  swap(a: number, b: number, length: number): void;
}

export interface Session extends AsyncDisposable {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** One run: feeds by name, all (or the named) outputs copied out. Does not block the event loop. */
  run(
    feeds: Readonly<Record<string, HostTensor | Value>>,
    options?: RunOptions & { readonly outputs?: readonly string[] },
  ): Promise<Record<string, HostTensor>>;
  /** Inputs and outputs bound once and kept between runs. */
  bind(): Binding;
  /**
   * An uninitialised tensor where the session computes. On a GPU it stays there between runs; it can be bound, all its rows
   * be taken, and nothing else. To be disposed of before the session.
   */
  empty(dtype: DType, shape: readonly number[]): Value;
}

/**
 * IO binding. The same Value may be input of one binding and output of another (state that is swapped), or input
 * and output of one binding where the kernel updates in place (GroupQueryAttention's cache).
 */
export interface Binding extends Disposable {
  input(name: string, value: Value): this;
  output(name: string, value: Value): this;
  run(options?: RunOptions): Promise<void>;
}
