import { RuntimeFailure } from "../core/errors.ts";

/** Embeddings as one matrix [rows, dimension], row-major f32. */
export interface EmbeddingMatrix {
  readonly rows: number;
  readonly dimension: number;
  readonly data: Float32Array;
}

/** A matrix of zeros, to be filled by {@link setRow}. */
export const emptyMatrix = (rows: number, dimension: number): EmbeddingMatrix => ({
  rows,
  dimension,
  data: new Float32Array(rows * dimension),
});

/** Row `i` as a view, without a copy. */
export const rowOf = (m: EmbeddingMatrix, i: number): Float32Array =>
  m.data.subarray(i * m.dimension, (i + 1) * m.dimension);

/**
 * Copies `embedding` into row `i`. Throws RuntimeFailure when the width is another or a value is not finite: a
 * ranking over NaN would still give a number, and a wrong one. `name` says whose embedding it is.
 */
export function setRow(m: EmbeddingMatrix, i: number, embedding: Float32Array, name: string): void {
  if (embedding.length !== m.dimension)
    throw new RuntimeFailure(
      `embedding of ${name}: expected ${m.dimension} numbers, the model gave ${embedding.length}`,
    );
  if (!embedding.every(Number.isFinite))
    throw new RuntimeFailure(
      `embedding of ${name} has values that are not finite; the weights may be damaged or overflow in this precision`,
    );
  m.data.set(embedding, i * m.dimension);
}

/** Scalar product of row `i` of `a` and row `j` of `b`: summed in f64 in order of the axis, so always the same. */
export function dotRows(a: EmbeddingMatrix, i: number, b: EmbeddingMatrix, j: number): number {
  const D = a.dimension;
  let sum = 0;
  for (let d = 0, p = i * D, q = j * D; d < D; d++) sum += a.data[p + d]! * b.data[q + d]!;
  return sum;
}
