/** Element types of tensors, named as in the field's papers and code. */
export type DType =
  | "f64"
  | "f32"
  | "f16"
  | "bf16"
  | "f8_e4m3"
  | "f8_e5m2"
  | "i64"
  | "i32"
  | "i16"
  | "i8"
  | "u64"
  | "u32"
  | "u16"
  | "u8"
  | "bool";

interface DTypeArrays {
  f64: Float64Array;
  f32: Float32Array;
  f16: Uint16Array;
  bf16: Uint16Array;
  f8_e4m3: Uint8Array;
  f8_e5m2: Uint8Array;
  i64: BigInt64Array;
  i32: Int32Array;
  i16: Int16Array;
  i8: Int8Array;
  u64: BigUint64Array;
  u32: Uint32Array;
  u16: Uint16Array;
  u8: Uint8Array;
  bool: Uint8Array;
}

/** The typed array that holds elements of `D`; f16, bf16 and f8 are kept as their bits. */
export type ArrayOf<D extends DType> = DTypeArrays[D];

interface ArrayConstructor<A> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): A;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): A;
}

interface DTypeInfo<D extends DType> {
  readonly bytes: number;
  readonly array: ArrayConstructor<ArrayOf<D>>;
  /** `TensorProto.DataType` of ONNX, which is also ONNX Runtime's element type. */
  readonly onnx: number;
  /** Name in a safetensors header. */
  readonly safetensors: string;
  readonly float: boolean;
}

export const DTYPES: { readonly [D in DType]: DTypeInfo<D> } = {
  f64: { bytes: 8, array: Float64Array, onnx: 11, safetensors: "F64", float: true },
  f32: { bytes: 4, array: Float32Array, onnx: 1, safetensors: "F32", float: true },
  f16: { bytes: 2, array: Uint16Array, onnx: 10, safetensors: "F16", float: true },
  bf16: { bytes: 2, array: Uint16Array, onnx: 16, safetensors: "BF16", float: true },
  f8_e4m3: { bytes: 1, array: Uint8Array, onnx: 17, safetensors: "F8_E4M3", float: true },
  f8_e5m2: { bytes: 1, array: Uint8Array, onnx: 19, safetensors: "F8_E5M2", float: true },
  i64: { bytes: 8, array: BigInt64Array, onnx: 7, safetensors: "I64", float: false },
  i32: { bytes: 4, array: Int32Array, onnx: 6, safetensors: "I32", float: false },
  i16: { bytes: 2, array: Int16Array, onnx: 5, safetensors: "I16", float: false },
  i8: { bytes: 1, array: Int8Array, onnx: 3, safetensors: "I8", float: false },
  u64: { bytes: 8, array: BigUint64Array, onnx: 13, safetensors: "U64", float: false },
  u32: { bytes: 4, array: Uint32Array, onnx: 12, safetensors: "U32", float: false },
  u16: { bytes: 2, array: Uint16Array, onnx: 4, safetensors: "U16", float: false },
  u8: { bytes: 1, array: Uint8Array, onnx: 2, safetensors: "U8", float: false },
  bool: { bytes: 1, array: Uint8Array, onnx: 9, safetensors: "BOOL", float: false },
};

export const isFloat = (dtype: DType): boolean => DTYPES[dtype].float;

/** The dtype whose `key` column of {@link DTYPES} is `value`, or undefined. */
export function dtypeBy(key: "onnx" | "safetensors", value: number | string): DType | undefined {
  return (Object.keys(DTYPES) as DType[]).find((d) => DTYPES[d][key] === value);
}
