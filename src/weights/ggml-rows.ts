import { bytesOf, fromBytes, type HostTensor, rawBytes, sizeOf } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import type { LazyTensor, TensorSource } from "../runtime/runtime.ts";
import type { BlockQuantized } from "./block-quantized.ts";
import { type Checkpoint, loadSource } from "./checkpoint.ts";
import { dequantizeGgml, repackGgml } from "./ggml-repack.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";
import { type GgufFile, type GgufTensor, tensorBytes } from "./gguf.ts";

/**
 * A tensor in ggml's own bytes. Blocks lie along the last axis, so that rows can be cut, joined and reordered as they
 * are: a quantised weight stays the quantised weight that it was.
 */
export interface GgmlTensor {
  readonly type: GgmlType;
  readonly shape: readonly number[];
  read(): Promise<Uint8Array>;
  /** The bytes' place in a file, where they lie in one as they are. */
  readonly place?: { readonly file: string; readonly offset: number };
}

/** A quantised tensor of a file: values when it is loaded, or its blocks as they are. */
export interface BlockTensor extends LazyTensor {
  readonly dtype: "f32";
  readonly type: GgmlType;
  /** Codes and scales for MatMulNBits, see {@link repackGgml}. */
  repack(): Promise<BlockQuantized>;
}

export const isBlockTensor = (source: TensorSource): source is BlockTensor => "repack" in source;

/** A stack [E, in, out] in f32 when it is loaded, and the weights [out, in] that it is made of. */
export interface ExpertStack extends LazyTensor {
  readonly experts: readonly TensorSource[];
}

export const isExpertStack = (source: TensorSource): source is ExpertStack => "experts" in source;

const F32 = GGML_TYPES.get(0)!;
const MAX_TABLE = 1 << 16;

/** A tensor of a file, under a shape of the same size if one is given. */
export const inFile = (
  { readBytes }: GgufFile,
  tensor: GgufTensor,
  shape: readonly number[] = tensor.shape,
): GgmlTensor => ({
  type: tensor.type,
  shape,
  place: tensor,
  read: () => readBytes(tensor.file, tensor.offset, tensorBytes(tensor)),
});

/** The tensors that a stack [E, ..] holds. */
export function unstack(tensor: GgufTensor): GgufTensor[] {
  const [count, ...shape] = tensor.shape;
  const bytes = tensorBytes({ type: tensor.type, shape });
  return Array.from({ length: count! }, (_, i) => ({ ...tensor, shape, offset: tensor.offset + i * bytes }));
}

/**
 * One tensor of rows of `parts` (equal in all sizes but the first): `order` names them by their number in the parts
 * joined. Parts of different types are dequantised to f32. Throws a CheckpointError for parts that do not fit.
 */
export function pickRows(parts: readonly GgmlTensor[], order: readonly number[]): GgmlTensor {
  const rowShape = parts[0]!.shape.slice(1);
  const rows = parts.reduce((n, p) => n + p.shape[0]!, 0);
  if (parts.some((p) => p.shape.slice(1).join() !== rowShape.join()) || order.some((r) => !(r < rows)))
    throw new CheckpointError(
      `pickRows: no ${order.length} rows in ${parts.map((p) => `[${p.shape}]`).join(" and ")}`,
    );
  const type = parts.every((p) => p.type === parts[0]!.type) ? parts[0]!.type : F32;
  const rowBytes = tensorBytes({ type, shape: rowShape });
  const read = async (): Promise<Uint8Array> => {
    const all = new Uint8Array(rows * rowBytes);
    let at = 0;
    for (const part of parts) {
      const bytes = part.type === type ? await part.read() : rawBytes(await dequantized(part));
      all.set(bytes, at);
      at += bytes.byteLength;
    }
    const out = new Uint8Array(order.length * rowBytes);
    for (const [i, row] of order.entries())
      out.set(all.subarray(row * rowBytes, (row + 1) * rowBytes), i * rowBytes);
    return out;
  };
  return { type, shape: [order.length, ...rowShape], read };
}

/** All rows of `parts`, one part after the other. */
export const joinRows = (parts: readonly GgmlTensor[]): GgmlTensor =>
  pickRows(parts, [...Array(parts.reduce((n, p) => n + p.shape[0]!, 0)).keys()]);

/** The tensor's values in f32. */
export const dequantized = async ({ type, shape, read }: GgmlTensor): Promise<HostTensor<"f32">> =>
  dequantizeGgml(type, await read(), shape);

/** The tensor for a session: a byte range where the file holds it as it is wanted, else made when it is loaded. */
export function sourceOf(tensor: GgmlTensor): TensorSource | BlockTensor {
  const { type, shape, read, place } = tensor;
  if (type.dtype === undefined)
    return {
      dtype: "f32",
      shape,
      type,
      load: () => dequantized(tensor),
      repack: async () => repackGgml(type, await read(), shape),
    } satisfies BlockTensor;
  const { dtype } = type;
  if (place !== undefined) return { dtype, shape, file: place.file, offset: place.offset };
  return { dtype, shape, load: async () => fromBytes(dtype, shape, await read()) };
}

/** Rows of each of `parts` in turns. */
export function interleaveRows(parts: readonly GgmlTensor[]): GgmlTensor {
  if (parts.length === 1) return parts[0]!;
  const rows = parts[0]!.shape[0]!;
  const order = Array.from({ length: rows * parts.length }, (_, i) => (i % parts.length) * rows);
  return pickRows(
    parts,
    order.map((first, i) => first + Math.floor(i / parts.length)),
  );
}

/** Experts [out, in] as one tensor. */
export function expertStack(experts: readonly GgmlTensor[]): ExpertStack {
  const [N, K] = experts[0]!.shape as [number, number];
  const shape = [experts.length, K, N];
  const load = async (): Promise<HostTensor> => {
    const out = new Float32Array(experts.length * K * N);
    for (const [e, expert] of experts.entries()) {
      const { data } = await dequantized(expert);
      for (let n = 0, from = 0; n < N; n++)
        for (let k = 0; k < K; k++) out[(e * K + k) * N + n] = data[from++]!;
    }
    return { dtype: "f32", shape, data: out };
  };
  return { dtype: "f32", shape, load, experts: experts.map(sourceOf) };
}

/** Tensors made from those of `file`, as a checkpoint. */
export function checkpointOf(file: GgufFile, tensors: ReadonlyMap<string, TensorSource>): Checkpoint {
  const texts = [...file.metadata].filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return {
    name: file.name,
    keys: [...tensors.keys()],
    tensors,
    metadata: Object.fromEntries(texts),
    read: (source) =>
      loadSource(source, async ({ dtype, shape, file: path, offset }) =>
        fromBytes(dtype, shape, await file.readBytes(path, offset, bytesOf(dtype, shape))),
      ),
  };
}

/** The tensors of a file under its own names. */
export const ggufCheckpoint = (file: GgufFile): Checkpoint =>
  checkpointOf(file, new Map([...file.tensors].map(([key, t]) => [key, sourceOf(inFile(file, t))])));

/** A vector as numbers. Throws a CheckpointError for what is too long to be a table. */
export const numbersOf = async (file: GgufFile, tensor: GgufTensor): Promise<number[]> => {
  if (sizeOf(tensor.shape) > MAX_TABLE)
    throw new CheckpointError(
      `${file.name}: a table of [${tensor.shape}] numbers, at most ${MAX_TABLE} are expected; the file is damaged`,
    );
  return [...(await dequantized(inFile(file, tensor))).data];
};
