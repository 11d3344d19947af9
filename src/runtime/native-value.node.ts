import { bytesOf, type HostTensor, sizeOf } from "../core/array.ts";
import { type ArrayOf, DTYPES, type DType, dtypeBy } from "../core/dtype.ts";
import { RuntimeFailure, ShapeError } from "../core/errors.ts";
import { checkHost, checkRanges, checkRows, checkShape } from "./check-host.ts";
import { copyIn, copyNative, copyOut, swapNative } from "./native-memory.node.ts";
import type { OrtApi, Pointer } from "./ort-api.node.ts";
import type { Value } from "./runtime.ts";

/** Handles that every tensor needs; made once per runtime. */
export interface TensorMemory {
  readonly api: OrtApi;
  /** The default CPU allocator: never freed, it belongs to the library. */
  readonly allocator: Pointer;
  /** OrtMemoryInfo of plain CPU memory. */
  readonly cpu: Pointer;
}

/** A tensor behind an OrtValue, in memory of ONNX Runtime's default allocator or of a mapped file. */
export class NativeValue implements Value {
  /** How often it was written. */
  writes = 0;
  #handle: Pointer;

  private constructor(
    readonly memory: TensorMemory,
    handle: Pointer,
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly place: "host" | "device" | "borrowed from a device" = "host",
  ) {
    this.#handle = handle;
  }

  /** An uninitialised tensor. Throws a ShapeError for a size that is not a whole number ≥ 0. */
  static empty(memory: TensorMemory, dtype: DType, shape: readonly number[]): NativeValue {
    return new NativeValue(memory, allocate(memory, memory.allocator, dtype, shape), dtype, [...shape]);
  }

  /** As {@link empty}, in a device's memory: it can be bound, and nothing else. */
  static onDevice(
    memory: TensorMemory,
    allocator: Pointer,
    dtype: DType,
    shape: readonly number[],
  ): NativeValue {
    return new NativeValue(memory, allocate(memory, allocator, dtype, shape), dtype, [...shape], "device");
  }

  /** A copy of `host`. */
  static of(memory: TensorMemory, host: HostTensor): NativeValue {
    checkHost("value", host);
    const value = NativeValue.empty(memory, host.dtype, host.shape);
    value.write(host);
    return value;
  }

  /** A tensor over memory that someone else owns, and keeps for as long as the value lives. */
  static over(memory: TensorMemory, address: Pointer, dtype: DType, shape: readonly number[]): NativeValue {
    checkShape("over", shape);
    const handle = memory.api.make(
      "CreateTensorWithDataAsOrtValue",
      `wrapping ${dtype} [${shape}]`,
      memory.cpu,
      address,
      bytesOf(dtype, shape),
      BigInt64Array.from(shape, BigInt),
      shape.length,
      DTYPES[dtype].onnx,
    );
    return new NativeValue(memory, handle, dtype, [...shape]);
  }

  /** The OrtValue; throws a RuntimeFailure once disposed of. */
  get handle(): Pointer {
    if (this.#handle === 0n)
      throw new RuntimeFailure(`value ${this.dtype} [${this.shape}]: used after it was disposed of`);
    return this.#handle;
  }

  get alive(): boolean {
    return this.#handle !== 0n;
  }

  /** Where the elements are; throws a RuntimeFailure for those of a device. */
  get address(): Pointer {
    if (this.place !== "host")
      throw new RuntimeFailure(
        `value ${this.dtype} [${this.shape}]: it lies on the device and can only be bound`,
      );
    return tensorAddress(this.memory.api, this.handle);
  }

  async read(): Promise<HostTensor> {
    return copyTensor(this.dtype, this.shape, this.address);
  }

  write(host: HostTensor): void {
    checkHost("write", host);
    if (host.dtype !== this.dtype || host.data.length !== sizeOf(this.shape))
      throw new ShapeError(
        `write: the value is ${this.dtype} [${this.shape}], ${host.dtype} [${host.shape}] was given`,
      );
    copyIn(this.address, host.data);
    this.writes++;
  }

  rows(start: number, count: number): NativeValue {
    checkRows(this.shape, start, count);
    const [all, ...rest] = this.shape;
    if (this.place !== "host" && count === all)
      return new NativeValue(this.memory, this.handle, this.dtype, this.shape, "borrowed from a device");
    const offset = BigInt(start * bytesOf(this.dtype, rest));
    return NativeValue.over(this.memory, this.address + offset, this.dtype, [count, ...rest]);
  }

  copy(from: number, to: number, length: number): void {
    this.#ranges(copyNative, to, from, length);
  }

  swap(a: number, b: number, length: number): void {
    this.#ranges(swapNative, a, b, length);
  }

  #ranges(act: (a: Pointer, b: Pointer, bytes: number) => void, a: number, b: number, length: number): void {
    checkRanges(this.shape, a, b, length);
    const bytes = (elements: number) => bytesOf(this.dtype, [elements]);
    const { address } = this;
    act(address + BigInt(bytes(a)), address + BigInt(bytes(b)), bytes(length));
  }

  [Symbol.dispose](): void {
    if (this.#handle !== 0n && this.place !== "borrowed from a device")
      this.memory.api.release("ReleaseValue", this.#handle);
    this.#handle = 0n;
  }
}

function allocate(
  { api }: TensorMemory,
  allocator: Pointer,
  dtype: DType,
  shape: readonly number[],
): Pointer {
  checkShape("empty", shape);
  return api.make(
    "CreateTensorAsOrtValue",
    `allocating ${dtype} [${shape}]`,
    allocator,
    BigInt64Array.from(shape, BigInt),
    shape.length,
    DTYPES[dtype].onnx,
  );
}

/** The contents of an OrtValue that a run made, copied out; throws a RuntimeFailure when it is no tensor. */
export function readOrtValue({ api }: TensorMemory, handle: Pointer, name: string): HostTensor {
  const { dtype, shape } = describe(api, handle, `output "${name}"`);
  return copyTensor(dtype, shape, tensorAddress(api, handle));
}

const tensorAddress = (api: OrtApi, handle: Pointer): Pointer =>
  api.make("GetTensorMutableData", "reading a tensor's address", handle);

function copyTensor(dtype: DType, shape: readonly number[], address: Pointer): HostTensor {
  const data = new DTYPES[dtype].array(sizeOf(shape)) as ArrayOf<DType>;
  copyOut(data, address);
  return { dtype, shape, data };
}

/** Dtype and shape of an OrtValue that must be a tensor. */
function describe(api: OrtApi, handle: Pointer, doing: string): { dtype: DType; shape: number[] } {
  if (handle === 0n || api.number("IsTensor", doing, handle) === 0)
    throw new RuntimeFailure(`${doing}: it is no tensor; only tensors can be read`);
  const info = api.make("GetTensorTypeAndShape", doing, handle);
  try {
    const type = api.number("GetTensorElementType", doing, info);
    const dtype = dtypeBy("onnx", type);
    if (dtype === undefined)
      throw new RuntimeFailure(`${doing}: element type ${type} of ONNX has no counterpart here`);
    const dims = new BigInt64Array(api.number("GetDimensionsCount", doing, info));
    if (dims.length > 0) api.call("GetDimensions", doing, info, dims, dims.length);
    return { dtype, shape: Array.from(dims, Number) };
  } finally {
    api.release("ReleaseTensorTypeAndShapeInfo", info);
  }
}
