import { f32, type HostTensor, hostTensor } from "../core/array.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";
import { findRange } from "./quantize.ts";

/** The weight [N, K] of a linear layer in 8 bits, transposed: weight[n, k] is codes[k, n] · scales[n]. */
export interface ChannelQuantized {
  /** [K, N], -127 to 127 */
  readonly codes: HostTensor<"i8">;
  /** [N] */
  readonly scales: HostTensor<"f32">;
}

/** Rows that are transposed together: a cache line of codes. */
const TILE = 64;

/**
 * Quantises the weight [N, K] of a linear layer with one scale for each of its N outputs, rounding to nearest. Throws
 * a ShapeError for another rank, and a CheckpointError when a weight is not finite.
 */
export function quantizeChannels(weight: HostTensor<"f32">, name = "the weight"): ChannelQuantized {
  const [N, K] = weight.shape;
  if (N === undefined || K === undefined || weight.shape.length !== 2)
    throw new ShapeError(`quantizeChannels: expected ${name} as [N, K], found [${weight.shape}]`);
  const scales = new Float32Array(N);
  const inverses = new Float64Array(N);
  const range = { low: 0, high: 0 };
  for (let n = 0; n < N; n++) {
    const poison = findRange(weight.data, n * K, (n + 1) * K, range);
    const largest = Math.max(range.high, -range.low) + poison;
    if (!Number.isFinite(largest))
      throw new CheckpointError(
        `quantizeChannels: row ${n} of ${name} [${N}, ${K}] holds NaN or infinity; check the file`,
      );
    scales[n] = largest / 127;
    inverses[n] = largest === 0 ? 0 : 127 / largest;
  }
  const codes = new Int8Array(K * N);
  for (let from = 0; from < N; from += TILE) {
    const to = Math.min(from + TILE, N);
    for (let k = 0; k < K; k++)
      for (let n = from; n < to; n++) codes[k * N + n] = Math.round(weight.data[n * K + k]! * inverses[n]!);
  }
  return { codes: hostTensor("i8", [K, N], codes), scales: f32([N], scales) };
}

/** The weight [N, K] that is computed with, in f32. */
export function dequantizeChannels({ codes, scales }: ChannelQuantized): HostTensor<"f32"> {
  const [K, N] = codes.shape as [number, number];
  const out = new Float32Array(N * K);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++) out[n * K + k] = codes.data[k * N + n]! * scales.data[n]!;
  return f32([N, K], out);
}
