import { fromBytes, type HostTensor, hostTensor, sizeOf, toF32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import type { BlockQuantized } from "./block-quantized.ts";
import { type BlockDecoder, emptyBlock } from "./ggml-blocks.ts";
import { type GgmlType, ggmlBytes } from "./ggml-types.ts";

/**
 * The values of a tensor of ggml, in f32. Agrees bit for bit with the reference wherever that rounds once. Throws a
 * ShapeError when the bytes are not the shape's or the type cannot be read.
 */
export function dequantizeGgml(
  type: GgmlType,
  bytes: Uint8Array,
  shape: readonly number[],
): HostTensor<"f32"> {
  checkBytes("dequantizeGgml", type, bytes, shape);
  if (type.dtype !== undefined) return toF32(fromBytes(type.dtype, shape, bytes));
  const { unpack, groupSize, centre, hasMin } = decoderOf("dequantizeGgml", type);
  const out = new Float32Array(sizeOf(shape));
  const block = emptyBlock();
  const zero = hasMin ? 0 : centre;
  for (let at = 0, from = 0; at < out.length; at += type.blockSize, from += type.bytes) {
    unpack(bytes, from, block);
    for (let g = 0, i = 0; i < type.blockSize; g++) {
      const scale = block.scales[g]!;
      const min = block.mins[g]!;
      for (const end = i + groupSize; i < end; i++) {
        const value = (block.codes[i]! - zero) * scale;
        out[at + i] = hasMin ? value + min : value;
      }
    }
  }
  return hostTensor("f32", shape, out);
}

/**
 * The blocks of a weight [.., K] of ggml as MatMulNBits reads them, N being the product of the other sizes: the same
 * codes and scales, in 4 bits where the format has 4 and else in 8. Nothing is rounded where the format has no min; a
 * min becomes an offset around the middle code, rounded to f32 once (2^-24 of the block's largest weight). Throws a
 * ShapeError as {@link dequantizeGgml} does, and for floats.
 */
export function repackGgml(type: GgmlType, bytes: Uint8Array, shape: readonly number[]): BlockQuantized {
  checkBytes("repackGgml", type, bytes, shape);
  const { unpack, groupSize, centre, hasMin, bits } = decoderOf("repackGgml", type);
  const K = shape[shape.length - 1]!;
  const N = sizeOf(shape.slice(0, -1));
  const groups = K / groupSize;
  const codes = new Uint8Array((N * K * bits) / 8);
  const scales = new Float32Array(N * groups);
  const offsets = hasMin ? new Float32Array(N * groups) : undefined;
  const block = emptyBlock();
  for (let at = 0, from = 0; at < N * K; at += type.blockSize, from += type.bytes) {
    unpack(bytes, from, block);
    if (bits === 4) pack4(block.codes, type.blockSize, codes, at >> 1);
    else for (let i = 0; i < type.blockSize; i++) codes[at + i] = block.codes[i]! - centre + 128;
    for (let g = 0, to = at / groupSize; g < type.blockSize / groupSize; g++, to++) {
      scales[to] = block.scales[g]!;
      if (offsets !== undefined) offsets[to] = block.mins[g]! + centre * block.scales[g]!;
    }
  }
  return {
    bits,
    blockSize: groupSize,
    codes: hostTensor("u8", [N, groups, (groupSize * bits) / 8], codes),
    scales: hostTensor("f32", [N, groups], scales),
    ...(offsets === undefined ? {} : { offsets: hostTensor("f32", [N, groups], offsets) }),
    N,
    K,
  };
}

function pack4(codes: Uint8Array, count: number, to: Uint8Array, at: number): void {
  for (let i = 0; i < count; i += 2) to[at + (i >> 1)] = codes[i]! | (codes[i + 1]! << 4);
}

function decoderOf(where: string, type: GgmlType): BlockDecoder {
  if (type.blocks === undefined)
    throw new ShapeError(`${where}: ${type.name} is no block format that can be read`);
  return type.blocks;
}

function checkBytes(where: string, type: GgmlType, bytes: Uint8Array, shape: readonly number[]): void {
  const wanted = ggmlBytes(type, sizeOf(shape));
  const K = shape[shape.length - 1] ?? 1;
  if (K % type.blockSize !== 0 || bytes.byteLength !== wanted)
    throw new ShapeError(
      `${where}: ${type.name} [${shape}] needs rows of whole blocks of ${type.blockSize} and ${wanted} bytes, ${bytes.byteLength} given`,
    );
}
