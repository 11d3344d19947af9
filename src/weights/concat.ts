import { type HostTensor, hostTensor, rawBytes, sizeOf } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { normalizeAxis, sameShape, showShape } from "../core/shape.ts";
import type { TensorSource } from "../runtime/runtime.ts";

/**
 * The shape of `shapes` joined along `axis`, or undefined when their other axes differ. Throws a ShapeError for an
 * axis outside the rank.
 */
export function concatShape(shapes: readonly (readonly number[])[], axis: number): number[] | undefined {
  const first = shapes[0]!;
  const a = normalizeAxis("concatShape", axis, first.length);
  const others = (s: readonly number[]) => s.filter((_, i) => i !== a);
  if (!shapes.every((s) => s.length === first.length && sameShape(others(s), others(first))))
    return undefined;
  return first.map((d, i) => (i === a ? shapes.reduce((n, s) => n + s[a]!, 0) : d));
}

/** Joins tensors along `axis`. Throws a ShapeError when dtypes or other axes differ. */
export function concatTensors(parts: readonly HostTensor[], axis: number): HostTensor {
  const { dtype } = parts[0]!;
  const shape = joinedShape("concatTensors", parts, axis);
  const a = normalizeAxis("concatTensors", axis, shape.length);
  const outer = sizeOf(shape.slice(0, a));
  const bytes = new Uint8Array(sizeOf(shape) * DTYPES[dtype].bytes);
  const row = bytes.byteLength / Math.max(outer, 1);
  let at = 0;
  for (const part of parts) {
    const from = rawBytes(part);
    const length = from.byteLength / Math.max(outer, 1);
    for (let o = 0; o < outer; o++) bytes.set(from.subarray(o * length, (o + 1) * length), o * row + at);
    at += length;
  }
  return wrap(dtype, shape, bytes);
}

/**
 * Tensors joined along `axis` when the whole is loaded, and not before. Throws a ShapeError when dtypes or other axes
 * differ.
 */
export function concatSources(
  parts: readonly TensorSource[],
  axis: number,
  read: (source: TensorSource) => Promise<HostTensor>,
): TensorSource {
  const { dtype } = parts[0]!;
  const shape = joinedShape("concatSources", parts, axis);
  const load = async (): Promise<HostTensor> => {
    const data: HostTensor[] = [];
    for (const part of parts) data.push(await read(part));
    return concatTensors(data, axis);
  };
  return { dtype, shape, load };
}

function joinedShape(
  where: string,
  parts: readonly { readonly dtype: DType; readonly shape: readonly number[] }[],
  axis: number,
): number[] {
  const shape = concatShape(
    parts.map((p) => p.shape),
    axis,
  );
  if (shape === undefined || parts.some((p) => p.dtype !== parts[0]!.dtype))
    throw new ShapeError(
      `${where}: ${parts.map((p) => `${p.dtype} ${showShape(p.shape)}`).join(" and ")} cannot be joined along axis ${axis}`,
    );
  return shape;
}

const wrap = (dtype: DType, shape: readonly number[], bytes: Uint8Array<ArrayBuffer>): HostTensor =>
  hostTensor(dtype, shape, new DTYPES[dtype].array(bytes.buffer));
