import { type HostTensor, hostTensor } from "../core/array.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";

/**
 * Block quantisation in the layout of ONNX Runtime's contrib operator `com.microsoft.MatMulNBits`
 * (microsoft/onnxruntime, docs/ContribOperators.md): a weight is (code - zero point) · scale, with one scale (and zero
 * point) for each `blockSize` weights along K. 4-bit codes and zero points are packed two to a byte, the first in the
 * low half. Without zero points the operator takes 2^(bits - 1).
 */
export interface BlockQuantized {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** [N, ceil(K / blockSize), blockSize · bits / 8] */
  readonly codes: HostTensor<"u8">;
  /** [N, ceil(K / blockSize)] */
  readonly scales: HostTensor<"f32">;
  /** [N, ceil(ceil(K / blockSize) · bits / 8)]; absent when symmetric. */
  readonly zeroPoints?: HostTensor<"u8">;
  /** [N, ceil(K / blockSize)]: added to every weight of a block; not the operator's, see `matmulOffsetBlocks`. */
  readonly offsets?: HostTensor<"f32">;
  readonly N: number;
  readonly K: number;
}

export interface QuantizeOptions {
  readonly bits: 4 | 8;
  readonly blockSize: 16 | 32 | 64 | 128 | 256;
  /** What messages call the weight; default "the weight". */
  readonly name?: string;
  /** A zero point for each block, which suits weights that are not centred; default false. */
  readonly zeroPoints?: boolean;
}

/**
 * Quantises the weight [N, K] of a linear layer, rounding to nearest. K is padded to whole blocks with zeros. In a
 * symmetric block the weight of largest magnitude is exact: it takes the lowest code, and the scale its sign. Throws a
 * ShapeError for another rank, and a CheckpointError when a weight is not finite.
 */
export function quantizeBlocks(weight: HostTensor<"f32">, options: QuantizeOptions): BlockQuantized {
  const { bits, blockSize, name = "the weight" } = options;
  const [N, K] = weight.shape;
  if (N === undefined || K === undefined || weight.shape.length !== 2)
    throw new ShapeError(`quantizeBlocks: expected ${name} as [N, K], found [${weight.shape}]`);
  const blocks = Math.ceil(K / blockSize);
  const blob = (blockSize * bits) / 8;
  const codes = new Uint8Array(N * blocks * blob);
  const scales = new Float32Array(N * blocks);
  const zeroRow = Math.ceil((blocks * bits) / 8);
  const zeroPoints = options.zeroPoints ? new Uint8Array(N * zeroRow) : undefined;
  const fit = { low: 0, high: 0, scale: 0, zero: 2 ** (bits - 1) };
  for (let n = 0; n < N; n++)
    for (let b = 0; b < blocks; b++) {
      const begin = n * K + b * blockSize;
      const end = Math.min(begin + blockSize, (n + 1) * K);
      if (zeroPoints === undefined) fitSymmetric(weight.data, begin, end, bits, fit);
      else fitRange(weight.data, begin, end, bits, fit);
      if (!Number.isFinite(fit.scale))
        throw new CheckpointError(
          `quantizeBlocks: row ${n} of ${name} [${N}, ${K}] holds NaN, infinity or a value too large; check the file`,
        );
      const at = n * blocks + b;
      scales[at] = fit.scale;
      if (end - begin < blockSize)
        codes.fill(bits === 4 ? fit.zero * 0x11 : fit.zero, at * blob, (at + 1) * blob);
      if (bits === 4) encode4(weight.data, begin, end, fit, codes, at * blob);
      else encode8(weight.data, begin, end, fit, codes, at * blob);
      if (zeroPoints !== undefined)
        zeroPoints[n * zeroRow + ((b * bits) >> 3)]! |= fit.zero << ((b * bits) & 7);
    }
  return {
    bits,
    blockSize,
    codes: hostTensor("u8", [N, blocks, blob], codes),
    scales: hostTensor("f32", [N, blocks], scales),
    ...(zeroPoints === undefined ? {} : { zeroPoints: hostTensor("u8", [N, zeroRow], zeroPoints) }),
    N,
    K,
  };
}

/** What weights reach, 0 included. One for all blocks: there are millions of them. */
export interface Range {
  low: number;
  high: number;
}

interface Fit extends Range {
  scale: number;
  zero: number;
}

/** Scale that puts the weight of largest magnitude on code 0; NaN when a weight is not finite. */
function fitSymmetric(weights: Float32Array, begin: number, end: number, bits: 4 | 8, fit: Fit): void {
  const poison = findRange(weights, begin, end, fit);
  fit.scale = Math.fround((fit.high > -fit.low ? fit.high : fit.low) / -(2 ** (bits - 1))) + poison;
}

/** Scale and zero point that cover the block's range and 0; a NaN scale when a weight is not finite. */
function fitRange(weights: Float32Array, begin: number, end: number, bits: 4 | 8, fit: Fit): void {
  const poison = findRange(weights, begin, end, fit);
  const top = 2 ** bits - 1;
  fit.scale = Math.fround((fit.high - fit.low) / top) + poison;
  fit.zero = fit.scale > 0 ? Math.min(top, Math.round(-fit.low / fit.scale)) : 0;
}

/** The least and the largest of weights [begin, end) and 0, into `range`; returns 0, or NaN when one is not finite. */
export function findRange(weights: Float32Array, begin: number, end: number, range: Range): number {
  let low = 0;
  let high = 0;
  let poison = 0;
  for (let i = begin; i < end; i++) {
    const w = weights[i]!;
    poison += w * 0;
    if (w < low) low = w;
    else if (w > high) high = w;
  }
  range.low = low;
  range.high = high;
  return poison;
}

/** Codes of weights [begin, end), a byte each. */
function encode8(
  weights: Float32Array,
  begin: number,
  end: number,
  { scale, zero }: Fit,
  out: Uint8Array,
  to: number,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  const half = zero + 0.5;
  for (let i = begin, at = to; i < end; i++, at++) {
    const code = weights[i]! * inverse + half;
    out[at] = code < 0 ? 0 : code >= 256 ? 255 : code | 0;
  }
}

/** Codes of weights [begin, end), two to a byte; a missing last one is the code of 0. */
function encode4(
  weights: Float32Array,
  begin: number,
  end: number,
  { scale, zero }: Fit,
  out: Uint8Array,
  to: number,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  const half = zero + 0.5;
  for (let i = begin, at = to; i < end; i += 2, at++) {
    const low = weights[i]! * inverse + half;
    const high = (i + 1 < end ? weights[i + 1]! * inverse : 0) + half;
    const lowCode = low < 0 ? 0 : low >= 16 ? 15 : low | 0;
    const highCode = high < 0 ? 0 : high >= 16 ? 15 : high | 0;
    out[at] = lowCode | (highCode << 4);
  }
}

/** The weight [N, K] that is computed with, in f32. */
export function dequantizeBlocks(q: BlockQuantized): HostTensor<"f32"> {
  const { bits, blockSize, N, K } = q;
  const [, blocks, blob] = q.codes.shape as [number, number, number];
  const mask = 2 ** bits - 1;
  const zeroRow = q.zeroPoints?.shape[1] ?? 0;
  const out = new Float32Array(N * K);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++) {
      const b = Math.floor(k / blockSize);
      const bit = (k - b * blockSize) * bits;
      const code = (q.codes.data[(n * blocks + b) * blob + (bit >> 3)]! >> (bit & 7)) & mask;
      const zeroByte = q.zeroPoints?.data[n * zeroRow + ((b * bits) >> 3)];
      const zero = zeroByte === undefined ? 2 ** (bits - 1) : (zeroByte >> ((b * bits) & 7)) & mask;
      const offset = q.offsets?.data[n * blocks + b] ?? 0;
      out[n * K + k] = (code - zero) * q.scales.data[n * blocks + b]! + offset;
    }
  return hostTensor("f32", [N, K], out);
}
