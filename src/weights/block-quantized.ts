import { type HostTensor, hostTensor } from "../core/array.ts";

/**
 * Block quantisation in the layout of ONNX Runtime's contrib operator `com.microsoft.MatMulNBits`
 * (microsoft/onnxruntime, docs/ContribOperators.md), without its zero points: a weight is (code - 2^(bits - 1)) · scale, with
 * one scale for each `blockSize` weights along K. 4-bit codes are packed two to a byte, the first in the low half.
 */
export interface BlockQuantized {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** [N, ceil(K / blockSize), blockSize · bits / 8] */
  readonly codes: HostTensor<"u8">;
  /** [N, ceil(K / blockSize)] */
  readonly scales: HostTensor<"f32">;
  /** [N, ceil(K / blockSize)]: added to every weight of a block; not the operator's, see `matmulOffsetBlocks`. */
  readonly offsets?: HostTensor<"f32">;
  readonly N: number;
  readonly K: number;
}

/** The weight [N, K] that is computed with, in f32. */
export function dequantizeBlocks(q: BlockQuantized): HostTensor<"f32"> {
  const { bits, blockSize, N, K } = q;
  const [, blocks, blob] = q.codes.shape as [number, number, number];
  const mask = 2 ** bits - 1;
  const zero = 2 ** (bits - 1);
  const out = new Float32Array(N * K);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++) {
      const b = Math.floor(k / blockSize);
      const bit = (k - b * blockSize) * bits;
      const code = (q.codes.data[(n * blocks + b) * blob + (bit >> 3)]! >> (bit & 7)) & mask;
      const offset = q.offsets?.data[n * blocks + b] ?? 0;
      out[n * K + k] = (code - zero) * q.scales.data[n * blocks + b]! + offset;
    }
  return hostTensor("f32", [N, K], out);
}
