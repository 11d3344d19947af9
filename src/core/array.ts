import { type ArrayOf, DTYPES, type DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";

/** A dense row-major tensor in JavaScript memory. */
export interface HostTensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: ArrayOf<D>;
}

/** Number of elements of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Number of bytes of a tensor. */
export const bytesOf = (dtype: DType, shape: readonly number[]): number =>
  sizeOf(shape) * DTYPES[dtype].bytes;

/** Wraps `data` as a tensor; throws a ShapeError when its length is not the shape's size. */
export function hostTensor<D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: ArrayOf<D>,
): HostTensor<D> {
  if (data.length !== sizeOf(shape))
    throw new ShapeError(
      `hostTensor: shape [${shape}] holds ${sizeOf(shape)} elements, the data has ${data.length}`,
    );
  return { dtype, shape, data };
}

/** A tensor of zeros. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): HostTensor<D> {
  return { dtype, shape, data: new DTYPES[dtype].array(sizeOf(shape)) as ArrayOf<D> };
}

/** An f32 tensor from numbers. */
export const f32 = (shape: readonly number[], values: ArrayLike<number>): HostTensor<"f32"> =>
  hostTensor("f32", shape, values instanceof Float32Array ? values : Float32Array.from(values));

/** An i64 tensor from numbers. */
export const i64 = (shape: readonly number[], values: Iterable<number | bigint>): HostTensor<"i64"> =>
  hostTensor("i64", shape, BigInt64Array.from(values, BigInt));

/** The tensor's memory as bytes, without a copy. */
export const rawBytes = (t: HostTensor): Uint8Array<ArrayBufferLike> =>
  new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);

/** A view of `bytes` as a tensor; copies only where the byte offset is not aligned to the element size. */
export function fromBytes<D extends DType>(
  dtype: D,
  shape: readonly number[],
  bytes: Uint8Array,
): HostTensor<D> {
  const { array, bytes: width } = DTYPES[dtype];
  const count = sizeOf(shape);
  if (bytes.byteLength !== count * width)
    throw new ShapeError(
      `fromBytes: ${dtype} [${shape}] needs ${count * width} bytes, ${bytes.byteLength} given`,
    );
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return { dtype, shape, data: new array(aligned.buffer, aligned.byteOffset, count) as ArrayOf<D> };
}

/** Any tensor's values as f32 (shared memory when it already is f32). */
export function toF32(t: HostTensor): HostTensor<"f32"> {
  switch (t.dtype) {
    case "f32":
      return t as HostTensor<"f32">;
    case "bf16":
      return f32(t.shape, bf16ToF32(t.data as Uint16Array));
    case "f16":
      return f32(t.shape, f16ToF32(t.data as Uint16Array));
    case "f8_e4m3":
    case "f8_e5m2":
      throw new ShapeError(`toF32: ${t.dtype} is storage only, cast it in a graph`);
    default:
      return f32(t.shape, Float32Array.from(t.data as ArrayLike<number | bigint>, Number));
  }
}

/** `t` in another float dtype; values are rounded to nearest even. */
export function castFloat(t: HostTensor, dtype: "f32" | "f16" | "bf16"): HostTensor {
  if (t.dtype === dtype) return t;
  const wide = toF32(t);
  if (dtype === "f32") return wide;
  return { dtype, shape: t.shape, data: dtype === "f16" ? f32ToF16(wide.data) : f32ToBf16(wide.data) };
}
