import { f32, hostTensor, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { type Dim, normalizeAxis } from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { gather, scatterAdd } from "./gather.ts";

/** The k largest values along an axis, largest first, and their indices i64; on ties the lower index comes first. */
export const topK: Op<[x: Tensor], { k: number; axis: number }> = defineOp({
  name: "top_k",
  infer([x], { k, axis }) {
    const a = normalizeAxis("top_k", axis, x.rank);
    const size = x.shape[a]!;
    if (k < 1 || (typeof size === "number" && k > size))
      throw new ShapeError(`top_k: ${k} of the ${size} along axis ${axis} cannot be taken`);
    const shape = x.shape.map((d, i) => (i === a ? k : d));
    return [
      { dtype: x.dtype, shape },
      { dtype: "i64", shape },
    ];
  },
  vjp: ({ dy, x: [x], ys: [, index], attrs: { axis } }) => [scatterAdd(index!, dy, { axis, shape: x.shape })],
  lower: (g, [x], { k, axis }) => g.nodes(2, "TopK", [x!, g.constant(i64([1], [k]))], { axis }),
  cases(rng) {
    const shape = draw.shape(rng, 1, 3);
    const axis = rng.int(shape.length);
    return [{ x: [shape], attrs: { axis, k: 1 + rng.int(shape[axis]!) } }];
  },
});

/**
 * Indices, ascending, of the elements of x [T] that are not zero: i64 [size]. How many there are is known only when
 * the graph runs, so the caller names the size; the name must not be used for anything else.
 */
export const nonZero: Op<[x: Tensor], { size: Dim }> = defineOp({
  name: "non_zero",
  infer([x], { size }) {
    if (x.rank !== 1) throw new ShapeError(`non_zero: a vector is expected, found ${x}`);
    return { dtype: "i64", shape: [size] };
  },
  vjp: { notDifferentiable: "its output is an index" },
  lower(g, [x], _, node) {
    // An axis that is known only when the graph runs, 0 · T: so the runtime does not know the rank of what follows.
    const axis = g.node("Mul", [g.shape([node.inputs[0]!.shape[0]!]), g.constant(i64([1], [0]))]);
    return g.node("Squeeze", [g.node("NonZero", [x!]), axis]);
  },
  cases(rng) {
    const T = 2 + rng.int(6);
    const data = Float32Array.from({ length: T }, (_, i) => (i === 1 || rng.int(2) === 0 ? 1 + i : 0));
    return [{ x: [hostTensor("f32", [T], data)], attrs: { size: data.filter((v) => v !== 0).length } }];
  },
});

/** Rows put back where they were gathered from: rows [n, D] and index i64 [n] -> [T, D]; what has one index adds up. */
export const scatterRows: Op<[rows: Tensor, index: Tensor], { T: Dim }> = defineOp({
  name: "scatter_rows",
  infer([rows, index], { T }) {
    if (rows.rank !== 2 || index.rank !== 1 || index.dtype !== "i64" || rows.shape[0] !== index.shape[0])
      throw new ShapeError(
        `scatter_rows: rows [n, D] and index i64 [n] are expected, found ${rows} and ${index}`,
      );
    return { dtype: rows.dtype, shape: [T, rows.shape[1]!] };
  },
  vjp: ({ dy, x: [, index] }) => [gather(dy, index), undefined],
  lower(g, [rows, index], { T }, node) {
    const zero = g.node("Expand", [g.constant(f32([], [0])), g.shape([T, node.inputs[0]!.shape[1]!])]);
    // The number of rows is read from them: it need not be a size that the graph's inputs tell.
    const column = g.node("Unsqueeze", [index!, g.constant(i64([1], [1]))]);
    const full = g.node("Expand", [column, g.node("Shape", [rows!])]);
    return g.node("ScatterElements", [zero, full, rows!], { axis: 0, reduction: "add" });
  },
  cases(rng) {
    const [n, T] = [draw.size(rng), 1 + rng.int(4)];
    return [{ x: [[n, draw.size(rng)], draw.indices(rng, [n], T)], attrs: { T } }];
  },
});
