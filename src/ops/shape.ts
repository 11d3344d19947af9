import { i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import {
  broadcastShapes,
  type Dim,
  dimAdd,
  dimProduct,
  dimSub,
  normalizeAxis,
  type Shape,
  sameShape,
  showShape,
} from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import { scalar, type Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";

export const reshapeOp: Op<[x: Tensor], { shape: Shape }> = defineOp({
  name: "reshape",
  infer([x], { shape }) {
    if (dimProduct(x.shape) !== dimProduct(shape))
      throw new ShapeError(`reshape: ${showShape(x.shape)} and ${showShape(shape)} differ in size`);
    return { dtype: x.dtype, shape };
  },
  vjp: ({ dy, x: [x] }) => [reshape(dy, x.shape)],
  lower(g, [x], { shape }) {
    const unknown = shape.filter((d) => typeof d !== "number");
    // One unknown size needs no arithmetic at run time: ONNX works out a single -1.
    const simple = unknown.length === 1 && !shape.includes(0);
    const target = simple
      ? i64(
          [shape.length],
          shape.map((d) => (typeof d === "number" ? d : -1)),
        )
      : undefined;
    return g.node("Reshape", [x!, target ? g.constant(target) : g.shape(shape)], {
      allowzero: shape.includes(0) ? 1 : 0,
    });
  },
  cases(rng) {
    const [a, b, c] = [draw.size(rng), draw.size(rng), draw.size(rng)];
    return [
      { x: [[a, b, c]], attrs: { shape: [c, a * b] } },
      { x: [[1, 1]], attrs: { shape: [] } },
    ];
  },
});

/** The same elements in row-major order under another shape. Prefer `rearrange` in models. */
export const reshape = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : reshapeOp(x, { shape });

export const transposeOp: Op<[x: Tensor], { perm: readonly number[] }> = defineOp({
  name: "transpose",
  infer([x], { perm }) {
    if (perm.length !== x.rank || new Set(perm).size !== x.rank || perm.some((p) => !(p >= 0 && p < x.rank)))
      throw new ShapeError(`transpose: [${perm}] is not a permutation of the axes of ${showShape(x.shape)}`);
    return { dtype: x.dtype, shape: perm.map((p) => x.shape[p]!) };
  },
  vjp: ({ dy, attrs: { perm } }) => [
    transpose(
      dy,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ],
  lower: (g, [x], { perm }) => g.node("Transpose", [x!], { perm }),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    return [{ x: [shape], attrs: { perm: draw.permutation(rng, shape.length) } }];
  },
});

/** Axes in another order: axis i of the result is axis perm[i] of x. */
export const transpose = (x: Tensor, perm: readonly number[]): Tensor =>
  perm.every((p, i) => p === i) ? x : transposeOp(x, { perm });

export const expandOp: Op<[x: Tensor], { shape: Shape }> = defineOp({
  name: "expand",
  infer([x], { shape }) {
    if (!sameShape(broadcastShapes("expand", x.shape, shape), shape))
      throw new ShapeError(`expand: ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
    return { dtype: x.dtype, shape };
  },
  vjp: ({ dy }) => [dy],
  lower: (g, [x], { shape }) => g.node("Expand", [x!, g.shape(shape)]),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    return [{ x: [draw.broadcastable(rng, shape)], attrs: { shape } }];
  },
});

/** x repeated along axes of size 1 (and along new leading axes). */
export const expand = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : expandOp(x, { shape });

/** Elements start ≤ i < end along one axis. Both may be symbolic. */
export const slice: Op<[x: Tensor], { axis: number; start: Dim; end: Dim }> = defineOp({
  name: "slice",
  infer([x], { axis, start, end }) {
    const a = normalizeAxis("slice", axis, x.rank);
    const size = x.shape[a]!;
    const bad = [start, end].some(
      (v) => typeof v === "number" && (v < 0 || (typeof size === "number" && v > size)),
    );
    const length = dimSub(end, start);
    if (bad || (typeof length === "number" && length < 0))
      throw new ShapeError(
        `slice: ${start}..${end} does not lie inside axis ${axis} of ${showShape(x.shape)}`,
      );
    return { dtype: x.dtype, shape: x.shape.map((d, i) => (i === a ? length : d)) };
  },
  vjp({ dy, x: [x], attrs: { axis, start, end } }) {
    const size = x.shape[normalizeAxis("slice", axis, x.rank)]!;
    return [pad(dy, { axis, before: start, after: dimSub(size, end) })];
  },
  lower: (g, [x], { axis, start, end }) =>
    g.node("Slice", [x!, g.shape([start]), g.shape([end]), g.constant(i64([1], [axis]))]),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    const axis = rng.int(shape.length);
    const start = rng.int(shape[axis]!);
    return [{ x: [shape], attrs: { axis, start, end: start + 1 + rng.int(shape[axis]! - start) } }];
  },
});

/** Zeros before and after along one axis. */
export const pad: Op<[x: Tensor], { axis: number; before: Dim; after: Dim }> = defineOp({
  name: "pad",
  infer([x], { axis, before, after }) {
    const a = normalizeAxis("pad", axis, x.rank);
    return { dtype: x.dtype, shape: x.shape.map((d, i) => (i === a ? dimAdd(dimAdd(d, before), after) : d)) };
  },
  vjp({ dy, x: [x], attrs: { axis, before } }) {
    const size = x.shape[normalizeAxis("pad", axis, x.rank)]!;
    return [slice(dy, { axis, start: before, end: dimAdd(before, size) })];
  },
  lower: (g, [x], { axis, before, after }) =>
    g.node("Pad", [x!, g.shape([before, after]), "", g.constant(i64([1], [axis]))]),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    return [
      { x: [shape], attrs: { axis: draw.axis(rng, shape.length), before: rng.int(3), after: rng.int(3) } },
    ];
  },
});

/** Tensors one after another along an axis. */
export const concat: Op<readonly Tensor[], { axis: number }> = defineOp({
  name: "concat",
  infer(xs, { axis }) {
    const [first] = xs;
    if (!first) throw new ShapeError("concat: at least one tensor is needed");
    const a = normalizeAxis("concat", axis, first.rank);
    for (const x of xs)
      if (
        x.dtype !== first.dtype ||
        x.rank !== first.rank ||
        x.shape.some((d, i) => i !== a && d !== first.shape[i])
      )
        throw new ShapeError(`concat: ${x} does not fit ${first} except along axis ${axis}`);
    const total = xs.map((x) => x.shape[a]!).reduce(dimAdd);
    return { dtype: first.dtype, shape: first.shape.map((d, i) => (i === a ? total : d)) };
  },
  vjp({ dy, x: xs, attrs: { axis } }) {
    let at: Dim = 0;
    return xs.map((x) => {
      const start = at;
      at = dimAdd(at, x.shape[normalizeAxis("concat", axis, x.rank)]!);
      return slice(dy, { axis, start, end: at });
    });
  },
  lower: (g, xs, { axis }) => g.node("Concat", xs, { axis }),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    const axis = rng.int(shape.length);
    const parts = Array.from({ length: 1 + rng.int(3) }, () =>
      shape.map((d, i) => (i === axis ? draw.size(rng) : d)),
    );
    return [{ x: parts, attrs: { axis } }];
  },
});

/** Consecutive parts of the given sizes along an axis: call `split.outputs(...)`. */
export const split: Op<[x: Tensor], { axis: number; sizes: readonly number[] }> = defineOp({
  name: "split",
  infer([x], { axis, sizes }) {
    const a = normalizeAxis("split", axis, x.rank);
    const total = sizes.reduce((s, n) => s + n, 0);
    if (x.shape[a] !== total)
      throw new ShapeError(
        `split: sizes [${sizes}] add up to ${total}, axis ${axis} of ${showShape(x.shape)} has ${x.shape[a]}`,
      );
    return sizes.map((n) => ({ dtype: x.dtype, shape: x.shape.map((d, i) => (i === a ? n : d)) }));
  },
  vjp: ({ dys, ys, attrs: { axis } }) => [
    concat(...dys.map((dy, i) => dy ?? expand(scalar(0), ys[i]!.shape)), { axis }),
  ],
  lower: (g, [x], { axis, sizes }) =>
    g.nodes(sizes.length, "Split", [x!, g.constant(i64([sizes.length], sizes))], { axis }),
  cases(rng) {
    const sizes = Array.from({ length: 1 + rng.int(3) }, () => draw.size(rng));
    const shape = draw.shape(rng, 1);
    const axis = rng.int(shape.length);
    return [
      {
        x: [shape.map((d, i) => (i === axis ? sizes.reduce((s, n) => s + n, 0) : d))],
        attrs: { axis, sizes },
      },
    ];
  },
});

/** A size as an i64 scalar, known only at run time when it is symbolic. */
export const dimValue: Op<[], { dim: Dim }> = defineOp({
  name: "dim_value",
  infer: () => ({ dtype: "i64", shape: [] }),
  vjp: { notDifferentiable: "a size does not depend on values" },
  lower: (g, _x, { dim }) => g.node("Squeeze", [g.shape([dim])]),
  cases: (rng) => [{ x: [], attrs: { dim: draw.size(rng) } }],
});

/** 0, 1, …, n − 1 as i64 [n]. */
export const range: Op<[], { n: Dim }> = defineOp({
  name: "range",
  infer: (_x, { n }) => ({ dtype: "i64", shape: [n] }),
  vjp: { notDifferentiable: "its output is an index" },
  lower: (g, _x, { n }) =>
    g.node("Range", [g.constant(i64([], [0])), g.node("Squeeze", [g.shape([n])]), g.constant(i64([], [1]))]),
  cases: (rng) => [{ x: [], attrs: { n: draw.size(rng) } }],
});
