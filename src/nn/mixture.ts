import { dimProduct } from "../core/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { concat, gather, mul, nonZero, reshape, scatterAdd, scatterRows, slice, topK } from "../ops/index.ts";

/**
 * The `k` largest of the scores [T, E] of each token, and their columns i64: what a router chooses.
 */
export function choose(scores: Tensor, k: number): { readonly values: Tensor; readonly experts: Tensor } {
  const [values, experts] = topK.outputs(scores, { k, axis: 1 });
  return { values: values!, experts: experts! };
}

/** Weights of the chosen experts [T, k] in a table of all [T, E], zero for the others. */
export const spread = (weights: Tensor, experts: Tensor, scores: Tensor): Tensor =>
  scatterAdd(experts, weights, { axis: 1, shape: scores.shape });

/**
 * A mixture of experts: x [B, L, D] and weights [B·L, E], mostly zero -> [B, L, D]. Each expert computes its own tokens
 * [n, D] -> [n, D] and no others. `name` tells the mixtures of one graph apart.
 */
export function mixture(
  x: Tensor,
  weights: Tensor,
  name: string,
  expert: (index: number, rows: Tensor) => Tensor,
): Tensor {
  const [B, L, D] = x.shape as [Tensor["shape"][number], Tensor["shape"][number], number];
  const T = dimProduct([B, L]);
  const flat = reshape(x, [T, D]);
  const parts = Array.from({ length: Number(weights.shape[1]) }, (_, e) => {
    const weight = reshape(slice(weights, { axis: 1, start: e, end: e + 1 }), [T]);
    const index = nonZero(weight, { size: `${name}_expert_${e}` });
    const own = gather(reshape(weight, [T, 1]), index); // [n, 1]
    return { index, rows: mul(expert(e, gather(flat, index)), own) };
  });
  const rows = concat(...parts.map((p) => p.rows), { axis: 0 });
  const index = concat(...parts.map((p) => p.index), { axis: 0 });
  return reshape(scatterRows(rows, index, { T }), x.shape);
}
