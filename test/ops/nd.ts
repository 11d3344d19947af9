import { type HostTensor, hostTensor, sizeOf } from "../../src/core/array.ts";

/** Plain n-dimensional arrays in double precision, for references: slow, obvious, independent of any runtime. */
export interface Nd {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export const toNd = (t: HostTensor): Nd => ({
  shape: t.shape,
  data: Float64Array.from(t.data as ArrayLike<number | bigint>, Number),
});

/** All index tuples of a shape, in row-major order. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const total = sizeOf(shape);
  const index = shape.map(() => 0);
  for (let i = 0; i < total; i++) {
    yield [...index];
    for (let a = shape.length - 1; a >= 0; a--) {
      index[a]!++;
      if (index[a]! < shape[a]!) break;
      index[a] = 0;
    }
  }
}

/** The array of f(index). */
export function build(shape: readonly number[], f: (index: number[]) => number): Nd {
  const data = new Float64Array(sizeOf(shape));
  let i = 0;
  for (const index of indices(shape)) data[i++] = f(index);
  return { shape, data };
}

/** Element at an index; axes of size 1 and missing leading axes broadcast. */
export function at(t: Nd, index: readonly number[]): number {
  const offset = index.length - t.shape.length;
  let flat = 0;
  t.shape.forEach((d, a) => {
    flat = flat * d + (d === 1 ? 0 : index[a + offset]!);
  });
  return t.data[flat]!;
}

export const toF32 = (t: Nd): HostTensor<"f32"> => hostTensor("f32", t.shape, Float32Array.from(t.data));

/** index with position `axis` replaced. */
export const withAxis = (index: readonly number[], axis: number, value: number): number[] =>
  index.map((v, a) => (a === axis ? value : v));
