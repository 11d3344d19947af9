import { type Dim, dimProduct } from "../core/shape.ts";
import { scalar, type Tensor } from "../graph/tensor.ts";
import {
  add,
  cast,
  dimValue,
  equal,
  gather,
  joinRows,
  mul,
  nonZero,
  reshape,
  scatterAdd,
  scatterRows,
  splitRows,
  sum,
  topK,
  transpose,
  where,
} from "../ops/index.ts";

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
 * [n, D] -> [n, D] and no others: they are gathered expert after expert, cut, and put back together. `name` tells the mixtures of one graph apart.
 */
export function mixture(
  x: Tensor,
  weights: Tensor,
  name: string,
  expert: (index: number, rows: Tensor) => Tensor,
): Tensor {
  const [B, L, D] = x.shape as [Dim, Dim, number];
  const [T, E] = [dimProduct([B, L]), Number(weights.shape[1])];
  const table = transpose(weights, [1, 0]);
  const size = `${name}_chosen`;
  const [experts, tokens] = nonZero.outputs(table, { size }) as [Tensor, Tensor];
  const counts = cast(sum(where(equal(table, scalar(0)), scalar(0), scalar(1)), { axes: [1] }), "i64");
  const sizes = Array.from({ length: E }, (_, e) => `${name}_expert_${e}`);
  const rows = splitRows.outputs(gather(reshape(x, [T, D]), tokens), counts, { sizes });
  const computed = joinRows(counts, ...rows.map((own, e) => expert(e, own)), { size });
  const places = add(mul(experts, dimValue({ dim: T })), tokens);
  const shares = gather(reshape(table, [dimProduct([E, T]), 1]), places); // [size, 1]
  return reshape(scatterRows(mul(computed, shares), tokens, { T }), x.shape);
}
