import { type HostTensor, hostTensor, sizeOf } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";

/** Whether elements lie row-major without gaps. Axes of size 1 have any stride; an empty tensor is contiguous. */
export function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== step) return sizeOf(shape) === 0;
    step *= shape[i]!;
  }
  return true;
}

/** Elements from a view's first to its last, both included; 0 for an empty view. Strides are not negative. */
export const spanOf = (shape: readonly number[], stride: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((last, d, i) => last + (d - 1) * stride[i]!, 1);

/** The row-major tensor that a strided view of `span` (the view's elements from first to last, as bytes) shows. */
export function gather(
  dtype: DType,
  shape: readonly number[],
  stride: readonly number[],
  span: Uint8Array<ArrayBuffer>,
): HostTensor {
  const { array } = DTYPES[dtype];
  const from = new array(span.buffer);
  const to = new array(sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let n = 0; n < to.length; n++) {
    to[n] = from[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return hostTensor(dtype, shape, to);
}
