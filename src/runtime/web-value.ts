import * as ort from "onnxruntime-web";
import { type HostTensor, sizeOf } from "../core/array.ts";
import { type ArrayOf, DTYPES, type DType } from "../core/dtype.ts";
import { RuntimeFailure, ShapeError } from "../core/errors.ts";
import { checkHost, checkRanges, checkRows, checkShape } from "./check-host.ts";
import type { Value } from "./runtime.ts";

/** Our dtypes as onnxruntime-web names them; what is absent has no tensor type there. */
const WEB_TYPES: Partial<Record<DType, ort.Tensor.Type>> = {
  f64: "float64",
  f32: "float32",
  f16: "float16",
  i64: "int64",
  i32: "int32",
  i16: "int16",
  i8: "int8",
  u64: "uint64",
  u32: "uint32",
  u16: "uint16",
  u8: "uint8",
  bool: "bool",
};

/** Our name of one of onnxruntime-web's tensor types; undefined for strings and 4-bit integers. */
export function dtypeOfWeb(type: ort.Tensor.Type): DType | undefined {
  return (Object.keys(WEB_TYPES) as DType[]).find((dtype) => WEB_TYPES[dtype] === type);
}

/** A host tensor as onnxruntime-web takes it, sharing its memory. Throws a ShapeError for bf16 and f8. */
export function toWeb(host: HostTensor): ort.Tensor {
  const type = WEB_TYPES[host.dtype];
  if (type === undefined)
    throw new ShapeError(
      `value: onnxruntime-web has no ${host.dtype} tensors; cast to f32 or f16 before it enters the graph`,
    );
  return new ort.Tensor(type, host.data as ort.Tensor.DataType, host.shape);
}

/** What a run returned as a host tensor, sharing its memory. Throws a RuntimeFailure for what is no tensor of ours. */
export function fromWeb(name: string, tensor: ort.Tensor): HostTensor {
  const dtype = dtypeOfWeb(tensor.type);
  if (dtype === undefined)
    throw new RuntimeFailure(`output "${name}": ${tensor.type} tensors have no counterpart here`);
  const { buffer, byteOffset, length } = tensor.data as Exclude<ArrayOf<DType>, never>;
  // Where the host has Float16Array, f16 comes as that: here it is its bits.
  const data = new DTYPES[dtype].array(buffer, byteOffset, length) as ArrayOf<DType>;
  return { dtype, shape: [...tensor.dims], data };
}

/** A tensor kept in JavaScript memory: the wasm build copies it in and out of its heap at every run. */
export class WebValue implements Value {
  #data: ArrayOf<DType> | undefined;

  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    data?: ArrayOf<DType>,
  ) {
    checkShape("value", shape);
    this.#data = data ?? (new DTYPES[dtype].array(sizeOf(shape)) as ArrayOf<DType>);
    toWeb(this.host); // refuses what cannot be fed, here rather than at the run
  }

  static of(host: HostTensor): WebValue {
    checkHost("value", host);
    return new WebValue(host.dtype, [...host.shape], host.data.slice() as ArrayOf<DType>);
  }

  get alive(): boolean {
    return this.#data !== undefined;
  }

  /** The tensor itself, not a copy; throws a RuntimeFailure once disposed of. */
  get host(): HostTensor {
    if (this.#data === undefined)
      throw new RuntimeFailure(`value ${this.dtype} [${this.shape}]: used after it was disposed of`);
    return { dtype: this.dtype, shape: this.shape, data: this.#data };
  }

  async read(): Promise<HostTensor> {
    const { dtype, shape, data } = this.host;
    return { dtype, shape, data: data.slice() as ArrayOf<DType> };
  }

  write(host: HostTensor): void {
    checkHost("write", host);
    const { data } = this.host;
    if (host.dtype !== this.dtype || host.data.length !== data.length)
      throw new ShapeError(
        `write: the value is ${this.dtype} [${this.shape}], ${host.dtype} [${host.shape}] was given`,
      );
    (data as Uint8Array).set(host.data as Uint8Array);
  }

  rows(start: number, count: number): WebValue {
    checkRows(this.shape, start, count);
    const [, ...rest] = this.shape;
    const size = sizeOf(rest);
    const part = this.host.data.subarray(start * size, (start + count) * size) as ArrayOf<DType>;
    return new WebValue(this.dtype, [count, ...rest], part);
  }

  copy(from: number, to: number, length: number): void {
    checkRanges(this.shape, from, to, length);
    (this.host.data as Uint8Array).copyWithin(to, from, from + length);
  }

  swap(a: number, b: number, length: number): void {
    checkRanges(this.shape, a, b, length);
    const data = this.host.data as Uint8Array;
    const held = data.slice(a, a + length);
    data.copyWithin(a, b, b + length);
    data.set(held, b);
  }

  [Symbol.dispose](): void {
    this.#data = undefined;
  }
}
