import { f32, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { type Dim, dimProduct, normalizeAxis, type Shape, sameShape, showShape } from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { expand, reshape } from "./shape.ts";

const wantIndices = (name: string, ids: Tensor): void => {
  if (ids.dtype !== "i64") throw new ShapeError(`${name}: indices must be i64, found ${ids.dtype}`);
};

/** Rows of a table: table [V, D...], ids i64 of any shape -> [...ids, D...]. */
export const gather: Op<[table: Tensor, ids: Tensor]> = defineOp({
  name: "gather",
  infer([table, ids]) {
    wantIndices("gather", ids);
    return { dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] };
  },
  vjp({ dy, x: [table, ids] }) {
    const row = table.shape.slice(1);
    // How many rows there are may be known only when the graph runs.
    if (ids.rank === 1 && table.rank === 2) return [scatterRows(dy, ids, { T: table.shape[0]! }), undefined];
    const flat = reshape(ids, [dimProduct(ids.shape), ...row.map(() => 1)]);
    const updates = reshape(dy, [flat.shape[0]!, ...row]);
    return [scatterAdd(expand(flat, updates.shape), updates, { axis: 0, shape: table.shape }), undefined];
  },
  lower: (g, x) => g.node("Gather", x, { axis: 0 }),
  cases(rng) {
    const rows = 2 + rng.int(5);
    return [
      { x: [[rows, ...draw.shape(rng, 0, 2)], draw.indices(rng, draw.shape(rng, 0, 2), rows)], attrs: {} },
    ];
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

/** Along one axis, the elements that the index names: out[i][j] = x[index[i][j]][j] for axis 0. Same rank. */
export const takeAlong: Op<[x: Tensor, index: Tensor], { axis: number }> = defineOp({
  name: "take_along",
  infer([x, index], { axis }) {
    wantIndices("take_along", index);
    const a = normalizeAxis("take_along", axis, x.rank);
    if (index.rank !== x.rank || index.shape.some((d, i) => i !== a && d !== x.shape[i]))
      throw new ShapeError(
        `take_along: index ${showShape(index.shape)} must equal ${showShape(x.shape)} except on axis ${axis}`,
      );
    return { dtype: x.dtype, shape: index.shape };
  },
  vjp: ({ dy, x: [x, index], attrs: { axis } }) => [
    scatterAdd(index, dy, { axis, shape: x.shape }),
    undefined,
  ],
  lower: (g, x, { axis }) => g.node("GatherElements", x, { axis }),
  cases(rng) {
    const shape = draw.shape(rng, 1, 3);
    const axis = rng.int(shape.length);
    const index = shape.map((d, i) => (i === axis ? draw.size(rng) : d));
    return [{ x: [shape, draw.indices(rng, index, shape[axis]!)], attrs: { axis } }];
  },
});

/** Zeros of `shape` with the updates added at the index along one axis; repeated indices add up, in a fixed order. */
export const scatterAdd: Op<[index: Tensor, updates: Tensor], { axis: number; shape: Shape }> = defineOp({
  name: "scatter_add",
  infer([index, updates], { axis, shape }) {
    wantIndices("scatter_add", index);
    normalizeAxis("scatter_add", axis, shape.length);
    if (!sameShape(index.shape, updates.shape))
      throw new ShapeError(
        `scatter_add: index ${showShape(index.shape)} and updates ${showShape(updates.shape)} differ`,
      );
    return { dtype: updates.dtype, shape };
  },
  vjp: ({ dy, x: [index], attrs: { axis } }) => [undefined, takeAlong(dy, index, { axis })],
  lower(g, [index, updates], { axis, shape }) {
    const zero = g.node("Expand", [g.constant(f32([], [0])), g.shape(shape)]);
    return g.node("ScatterElements", [zero, index!, updates!], { axis, reduction: "add" });
  },
  cases(rng) {
    const shape = draw.shape(rng, 1, 3);
    const axis = rng.int(shape.length);
    const dims = shape.map((d, i) => (i === axis ? draw.size(rng) : d));
    return [{ x: [draw.indices(rng, dims, shape[axis]!), dims], attrs: { axis, shape } }];
  },
});
