import { hostTensor, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { type Dim, normalizeAxis } from "../core/shape.ts";
import { defineOp, type Emitter, type Op, type ValueName } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { mul } from "./elementwise.ts";
import { scatterAdd } from "./gather.ts";

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
 * Where the elements of x [A, B] are that are not zero, row by row: their rows and their columns, i64 [size] each. How many
 * there are is known only when the graph runs, so the caller names the size; the name must not be used for anything else.
 */
export const nonZero: Op<[x: Tensor], { size: Dim }> = defineOp({
  name: "non_zero",
  infer([x], { size }) {
    if (x.rank !== 2) throw new ShapeError(`non_zero: a matrix is expected, found ${x}`);
    const index = { dtype: "i64", shape: [size] } as const;
    return [index, index];
  },
  vjp: { notDifferentiable: "its outputs are indices" },
  lower(g, [x], _, node) {
    const halves = g.nodes(2, "Split", [g.node("NonZero", [x!])], { axis: 0, num_outputs: 2 });
    // An axis that is known only when the graph runs, 0 · B, so that ONNX Runtime does not know the rank of what follows:
    // its planner compares each value of known rank with all memory that is free, of which sizes like this never fit.
    const axis = g.node("Mul", [g.shape([node.inputs[0]!.shape[1]!]), g.constant(i64([1], [0]))]);
    return halves.map((half) => g.node("Squeeze", [half, axis]));
  },
  cases(rng) {
    const [A, B] = [1 + rng.int(4), 1 + rng.int(4)];
    const data = Float32Array.from({ length: A * B }, (_, i) => (i === 0 || rng.int(2) === 0 ? 1 + i : 0));
    return [{ x: [hostTensor("f32", [A, B], data)], attrs: { size: data.filter((v) => v !== 0).length } }];
  },
});

/** The most parts that one node cuts or joins on a GPU: with the whole they are the eight buffers that every one binds. */
const GPU_PARTS = 7;

/** Parts of the rows, as many as there are counts; on a GPU in several steps, which take time. */
function cut(g: Emitter, rows: ValueName, counts: ValueName, parts: number): ValueName[] {
  if (g.device === "cpu" || parts <= GPU_PARTS) return g.nodes(parts, "Split", [rows, counts], { axis: 0 });
  const lengths = Array.from({ length: Math.ceil(parts / GPU_PARTS) }, (_, i) =>
    Math.min(GPU_PARTS, parts - i * GPU_PARTS),
  );
  const own = g.nodes(lengths.length, "Split", [counts, g.constant(i64([lengths.length], lengths))], {
    axis: 0,
  });
  const sums = own.map((c) => g.node("ReduceSum", [c], { keepdims: 1 }));
  const groups = cut(g, rows, g.node("Concat", sums, { axis: 0 }), lengths.length);
  return lengths.flatMap((length, i) => cut(g, groups[i]!, own[i]!, length));
}

/** The parts one after the other, in several steps likewise. */
function joined(g: Emitter, parts: readonly ValueName[]): ValueName {
  if (g.device === "cpu" || parts.length <= GPU_PARTS) return g.node("Concat", parts, { axis: 0 });
  const groups = Array.from({ length: Math.ceil(parts.length / GPU_PARTS) }, (_, i) =>
    g.node("Concat", parts.slice(i * GPU_PARTS, (i + 1) * GPU_PARTS), { axis: 0 }),
  );
  return joined(g, groups);
}

/** Cuts rows [n, D] into parts of so many: counts i64 [E], which add up to n; outputs [sizes[e], D]. */
export const splitRows: Op<[rows: Tensor, counts: Tensor], { sizes: readonly Dim[] }> = defineOp({
  name: "split_rows",
  infer([rows, counts], { sizes }) {
    if (rows.rank !== 2 || counts.dtype !== "i64" || `${counts.shape}` !== `${sizes.length}`)
      throw new ShapeError(
        `split_rows: rows [n, D] and counts i64 [${sizes.length}] are expected, found ${rows} and ${counts}`,
      );
    return sizes.map((n) => ({ dtype: rows.dtype, shape: [n, rows.shape[1]!] }));
  },
  vjp: ({ dys, x: [rows, counts], ys }) => [
    joinRows(counts!, ...dys.map((dy, e) => dy ?? mul(ys[e]!, 0)), { size: rows!.shape[0]! }),
    undefined,
  ],
  lower: (g, [rows, counts], { sizes }) => cut(g, rows!, counts!, sizes.length),
  cases(rng) {
    const sizes = Array.from({ length: 1 + rng.int(9) }, () => rng.int(3) && draw.size(rng));
    const n = sizes.reduce((a, b) => a + b);
    return [{ x: [[n, draw.size(rng)], i64([sizes.length], sizes)], attrs: { sizes } }];
  },
});

/** What {@link splitRows} cut, together again: counts i64 [E] and E parts [.., D] -> [size, D]. */
export const joinRows: Op<readonly Tensor[], { size: Dim }> = defineOp({
  name: "join_rows",
  infer([counts, first, ...others], { size }) {
    const fits = first?.rank === 2 && others.every((t) => t.rank === 2 && t.shape[1] === first.shape[1]);
    if (!fits || counts?.dtype !== "i64" || `${counts.shape}` !== `${1 + others.length}`)
      throw new ShapeError(
        `join_rows: counts i64 and as many parts [.., D] are expected, found ${[counts, first, ...others]}`,
      );
    return { dtype: first.dtype, shape: [size, first.shape[1]!] };
  },
  vjp: ({ dy, x: [counts, ...parts] }) => [
    undefined,
    ...splitRows.outputs(dy, counts!, { sizes: parts.map((part) => part.shape[0]!) }),
  ],
  lower: (g, [, ...parts]) => joined(g, parts),
  cases(rng) {
    const width = draw.size(rng);
    const sizes = Array.from({ length: 1 + rng.int(9) }, () => rng.int(3) && draw.size(rng));
    const size = sizes.reduce((a, b) => a + b);
    return [{ x: [i64([sizes.length], sizes), ...sizes.map((n) => [n, width])], attrs: { size } }];
  },
});
