import type { DType } from "../core/dtype.ts";
import { type BlockDecoder, DECODERS } from "./ggml-blocks.ts";

/** An element type of ggml: floats, which are stored as they are, or blocks of `blockSize` weights in `bytes` bytes. */
export interface GgmlType {
  readonly name: string;
  readonly blockSize: number;
  readonly bytes: number;
  /** What it is in memory; absent for blocks and for what cannot be read. */
  readonly dtype?: DType;
  /** How blocks are read; absent for floats and for what cannot be read. */
  readonly blocks?: BlockDecoder;
}

const plain = (name: string, bytes: number, dtype?: DType): GgmlType => ({
  name,
  blockSize: 1,
  bytes,
  ...(dtype === undefined ? {} : { dtype }),
});

const blocked = (name: string, blockSize: number, bytes: number): GgmlType => {
  const blocks = DECODERS[name];
  return { name, blockSize, bytes, ...(blocks === undefined ? {} : { blocks }) };
};

/** Element types by their number in a file (ggml-org/llama.cpp, ggml/include/ggml.h, `enum ggml_type`). */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, plain("F32", 4, "f32")],
  [1, plain("F16", 2, "f16")],
  [2, blocked("Q4_0", 32, 18)],
  [3, blocked("Q4_1", 32, 20)],
  [6, blocked("Q5_0", 32, 22)],
  [7, blocked("Q5_1", 32, 24)],
  [8, blocked("Q8_0", 32, 34)],
  [9, blocked("Q8_1", 32, 40)],
  [10, blocked("Q2_K", 256, 84)],
  [11, blocked("Q3_K", 256, 110)],
  [12, blocked("Q4_K", 256, 144)],
  [13, blocked("Q5_K", 256, 176)],
  [14, blocked("Q6_K", 256, 210)],
  [15, blocked("Q8_K", 256, 292)],
  [16, blocked("IQ2_XXS", 256, 66)],
  [17, blocked("IQ2_XS", 256, 74)],
  [18, blocked("IQ3_XXS", 256, 98)],
  [19, blocked("IQ1_S", 256, 50)],
  [20, blocked("IQ4_NL", 32, 18)],
  [21, blocked("IQ3_S", 256, 110)],
  [22, blocked("IQ2_S", 256, 82)],
  [23, blocked("IQ4_XS", 256, 136)],
  [24, plain("I8", 1)],
  [25, plain("I16", 2)],
  [26, plain("I32", 4)],
  [27, plain("I64", 8)],
  [28, plain("F64", 8)],
  [29, blocked("IQ1_M", 256, 56)],
  [30, plain("BF16", 2, "bf16")],
  [34, blocked("TQ1_0", 256, 54)],
  [35, blocked("TQ2_0", 256, 66)],
  [39, blocked("MXFP4", 32, 17)],
]);

/** Names of the types that can be read. */
export const READABLE_TYPES: readonly string[] = [...GGML_TYPES.values()]
  .filter((t) => t.dtype !== undefined || t.blocks !== undefined)
  .map((t) => t.name);

/** Bytes of `count` weights, which are whole blocks. */
export const ggmlBytes = (type: GgmlType, count: number): number => (count / type.blockSize) * type.bytes;
