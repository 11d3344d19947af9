import { type HostTensor, hostTensor, toF32 } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { CheckpointError, ShapeError } from "../core/errors.ts";
import { input } from "../graph/tensor.ts";
import type { QuantizationSpec } from "../nn/quantized.ts";
import { emit } from "../onnx/emit.ts";
import { cast, quantizeBlocks, quantizeChannels } from "../ops/index.ts";
import type { Runtime, Session } from "../runtime/runtime.ts";
import { canCast } from "../weights/cast.ts";

/** A quantised weight's parts, as the layers of nn/quantized.ts have them. */
export interface QuantizedParts {
  readonly codes: HostTensor<"u8"> | HostTensor<"i8">;
  readonly scales: HostTensor<"f32">;
}

/** Weights in one run: enough to keep all threads busy, and little memory. */
const RUN_WEIGHTS = 1 << 20;

/**
 * Quantises the weights of linear layers [N, K] as graphs on the CPU, with all threads of the runtime, and none of it on
 * JavaScript's. To be disposed of when the weights are loaded.
 */
export class Quantizer implements AsyncDisposable {
  readonly #sessions = new Map<string, Promise<Session>>();

  constructor(private readonly runtime: Runtime) {}

  /**
   * For a QuantizedLinear: codes u8 [N, blocks, blockSize·bits/8] and scales f32 [N, blocks]; the last block of a row is filled
   * up with zeros. Throws a ShapeError for another rank, and a CheckpointError when a weight is not finite.
   */
  async blocks(
    weight: HostTensor,
    { bits, blockSize }: QuantizationSpec,
    name: string,
  ): Promise<QuantizedParts> {
    const [N, K] = sizes(weight, name);
    const count = Math.ceil(K / blockSize);
    const blob = (blockSize * bits) / 8;
    const codes = new Uint8Array(N * count * blob);
    const scales = new Float32Array(N * count);
    for await (const { row, parts } of this.#runs(weight, blockSize, bits)) {
      codes.set(parts.codes.data as Uint8Array, row * count * blob);
      scales.set(parts.scales.data, row * count);
    }
    checkFinite(scales, weight, name);
    return {
      codes: hostTensor("u8", [N, count, blob], codes),
      scales: hostTensor("f32", [N, count], scales),
    };
  }

  /** For an Int8Linear: codes i8 [K, N] and scales f32 [N]. Throws as {@link blocks}. */
  async channels(weight: HostTensor, name: string): Promise<QuantizedParts> {
    const [N, K] = sizes(weight, name);
    const codes = new Int8Array(K * N);
    const scales = new Float32Array(N);
    for await (const { row, parts } of this.#runs(weight, K, "channels")) {
      const rows = parts.scales.data.length;
      const part = parts.codes.data as Int8Array;
      for (let k = 0; k < K; k++) codes.set(part.subarray(k * rows, (k + 1) * rows), k * N + row);
      scales.set(parts.scales.data, row);
    }
    checkFinite(scales, weight, name);
    return { codes: hostTensor("i8", [K, N], codes), scales: hostTensor("f32", [N], scales) };
  }

  /** Some rows after the others, cut into lines of so many weights. */
  async *#runs(
    weight: HostTensor,
    line: number,
    form: 4 | 8 | "channels",
  ): AsyncGenerator<{ readonly row: number; readonly parts: QuantizedParts }> {
    const floats = ["f32", "f16", "bf16"].includes(weight.dtype) ? weight : toF32(weight);
    const { dtype } = floats;
    const [N, K] = floats.shape as [number, number];
    const width = Math.ceil(K / line) * line;
    const session = await this.#session(dtype, line, form);
    const step = Math.max(1, Math.floor(RUN_WEIGHTS / width));
    for (let row = 0; row < N; row += step) {
      const rows = Math.min(step, N - row);
      const x = hostTensor(dtype, [(rows * width) / line, line], rowsOf(floats, row, rows, width) as never);
      yield { row, parts: (await session.run({ x })) as unknown as QuantizedParts };
    }
  }

  #session(dtype: DType, line: number, form: 4 | 8 | "channels"): Promise<Session> {
    const key = form === "channels" ? `${dtype} ${form}` : `${dtype} ${form} ${line}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      const x = cast(input("x", dtype, ["R", form === "channels" ? "K" : line]), "f32");
      const [codes, scales] =
        form === "channels" ? quantizeChannels.outputs(x) : quantizeBlocks.outputs(x, { bits: form });
      session = this.runtime.session(emit({ codes: codes!, scales: scales! }).bytes, { providers: [] });
      this.#sessions.set(key, session);
    }
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sessions = await Promise.allSettled(this.#sessions.values());
    for (const session of sessions)
      if (session.status === "fulfilled") await session.value[Symbol.asyncDispose]();
  }
}

function sizes(weight: HostTensor, name: string): readonly [N: number, K: number] {
  const [N, K] = weight.shape;
  if (N === undefined || K === undefined || weight.shape.length !== 2)
    throw new ShapeError(`quantizing: expected ${name} as [N, K], found [${weight.shape}]`);
  if (!canCast(weight.dtype, "f32"))
    throw new CheckpointError(
      `quantizing: ${name} is stored as ${weight.dtype}, of which nothing is computed; leave the precision out`,
    );
  return [N, K];
}

/** Rows [from, from + count) of a matrix, each filled up with zeros to `width`. */
function rowsOf({ dtype, shape, data }: HostTensor, from: number, count: number, width: number) {
  const K = shape[1]!;
  if (width === K) return data.subarray(from * K, (from + count) * K);
  const out = new DTYPES[dtype].array(count * width);
  for (let r = 0; r < count; r++)
    out.set(data.subarray((from + r) * K, (from + r + 1) * K) as never, r * width);
  return out;
}

function checkFinite(scales: Float32Array, weight: HostTensor, name: string): void {
  const bad = scales.findIndex((scale) => !Number.isFinite(scale));
  if (bad < 0) return;
  const row = Math.floor(bad / (scales.length / weight.shape[0]!));
  throw new CheckpointError(
    `quantizing: row ${row} of ${name} [${weight.shape.join(", ")}] holds NaN, infinity or a value too large; check the file`,
  );
}
