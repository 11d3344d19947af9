import { type HostTensor, sizeOf } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import type { LazyTensor } from "./runtime.ts";

/** Throws a ShapeError unless every size is a whole number and their product is exact. */
export function checkShape(where: string, shape: readonly number[]): void {
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0) || !Number.isSafeInteger(sizeOf(shape)))
    throw new ShapeError(`${where}: [${shape}] is no shape; sizes are whole numbers ≥ 0`);
}

/** What a lazy tensor gives, checked to be what it was announced as: kernels read as much as was announced. */
export async function loadChecked(where: string, source: LazyTensor): Promise<HostTensor> {
  const host = await source.load();
  checkHost(where, host);
  if (host.dtype !== source.dtype || !sameShape(host.shape, source.shape))
    throw new ShapeError(
      `${where}: announced as ${source.dtype} [${source.shape}], came as ${host.dtype} [${host.shape}]`,
    );
  return host;
}

/** A host tensor whose data is what its dtype and shape say: what reads past an array's end must not be trusted. */
export function checkHost(where: string, host: HostTensor): void {
  checkShape(where, host.shape);
  const { array } = DTYPES[host.dtype];
  if (
    !(host.data instanceof (array as unknown as new () => object)) ||
    host.data.length !== sizeOf(host.shape)
  )
    throw new ShapeError(
      `${where}: ${host.dtype} [${host.shape}] needs ${sizeOf(host.shape)} elements, found a ${host.data.constructor.name} of ${host.data.length}`,
    );
}

/** Throws a ShapeError unless the rows are rows of the first axis. */
export function checkRows(shape: readonly number[], start: number, count: number): void {
  const [rows] = shape;
  if (rows === undefined || start < 0 || count < 0 || start + count > rows)
    throw new ShapeError(`rows: [${shape}] has no ${count} rows from ${start} on`);
}

/** Throws a ShapeError unless both ranges of elements lie in the shape and apart. */
export function checkRanges(shape: readonly number[], a: number, b: number, length: number): void {
  const [low, high] = [Math.min(a, b), Math.max(a, b)];
  if (low < 0 || length < 0 || low + length > high || high + length > sizeOf(shape))
    throw new ShapeError(
      `value [${shape}]: ${length} elements from ${a} and from ${b} on are not two ranges of it`,
    );
}
