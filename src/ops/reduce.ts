import { i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { type Dim, dimProduct, normalizeAxis, type Shape } from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import { scalar, type Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { cast, div, equal, mul } from "./elementwise.ts";
import { dimValue, expand, reshape } from "./shape.ts";

interface ReduceAttrs {
  /** Axes to reduce; none reduces nothing. */
  readonly axes: readonly number[];
  /** Keep the reduced axes with size 1. */
  readonly keepdims?: boolean;
}

function reducedShape(name: string, shape: Shape, { axes, keepdims }: ReduceAttrs): Dim[] {
  const reduced = new Set(axes.map((a) => normalizeAxis(name, a, shape.length)));
  return keepdims ? shape.map((d, i) => (reduced.has(i) ? 1 : d)) : shape.filter((_, i) => !reduced.has(i));
}

const kept = (x: Tensor, attrs: ReduceAttrs): Shape =>
  reducedShape("reduce", x.shape, { ...attrs, keepdims: true });

function reduction(
  name: string,
  onnx: string,
  vjp: (dy: Tensor, x: Tensor, y: Tensor, attrs: ReduceAttrs) => Tensor,
) {
  const op: Op<[x: Tensor], ReduceAttrs> = defineOp({
    name,
    infer: ([x], attrs) => ({ dtype: x.dtype, shape: reducedShape(name, x.shape, attrs) }),
    vjp: ({ dy, x: [x], y, attrs }) => [vjp(dy, x, y, attrs)],
    lower: (g, [x], { axes, keepdims }) =>
      g.node(onnx, [x!, g.constant(i64([axes.length], axes))], {
        keepdims: keepdims ? 1 : 0,
        noop_with_empty_axes: 1,
      }),
    cases(rng) {
      const shape = draw.shape(rng, 1);
      return [
        { x: [shape], attrs: { axes: draw.axes(rng, shape.length) } },
        { x: [shape], attrs: { axes: [-1], keepdims: true } },
      ];
    },
  });
  return op;
}

export const sumOp = reduction("sum", "ReduceSum", (dy, x, _y, attrs) =>
  expand(reshape(dy, kept(x, attrs)), x.shape),
);

/** Largest value; where several are equal the gradient is shared between them. */
export const maxOp = reduction("max", "ReduceMax", (dy, x, y, attrs) => {
  const hit = cast(equal(x, reshape(y, kept(x, attrs))), "f32");
  return mul(div(hit, sum(hit, { ...attrs, keepdims: true })), reshape(dy, kept(x, attrs)));
});

type Options = Partial<ReduceAttrs>;
const withAxes = (x: Tensor, options: Options): ReduceAttrs => ({
  axes: x.shape.map((_, i) => i),
  ...options,
});

/** Sum over the given axes, or over all. */
export const sum = (x: Tensor, options: Options = {}): Tensor => sumOp(x, withAxes(x, options));

/** Largest value over the given axes, or over all. */
export const max = (x: Tensor, options: Options = {}): Tensor => maxOp(x, withAxes(x, options));

/** Mean over the given axes, or over all. */
export function mean(x: Tensor, options: Options = {}): Tensor {
  const { axes } = withAxes(x, options);
  const count = dimProduct(axes.map((a) => x.shape[normalizeAxis("mean", a, x.rank)]!));
  return div(
    sum(x, options),
    typeof count === "number" ? scalar(count) : cast(dimValue({ dim: count }), "f32"),
  );
}

/** Sums a gradient that was broadcast back to the shape of what it belongs to. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const extra = x.rank - shape.length;
  if (extra < 0)
    throw new ShapeError(`sumTo: a tensor of rank ${x.rank} cannot be summed to rank ${shape.length}`);
  const axes = x.shape.flatMap((d, i) => (i < extra || (shape[i - extra] === 1 && d !== 1) ? [i] : []));
  if (axes.length === 0) return x;
  return extra === 0 ? sum(x, { axes, keepdims: true }) : reshape(sum(x, { axes }), shape);
}

/** Index of the largest value along an axis, as i64; the lowest index on ties. */
export const argmax: Op<[x: Tensor], { axis: number; keepdims?: boolean }> = defineOp({
  name: "argmax",
  infer: ([x], { axis, keepdims }) => ({
    dtype: "i64",
    shape: reducedShape("argmax", x.shape, { axes: [axis], keepdims: keepdims ?? false }),
  }),
  vjp: { notDifferentiable: "its output is an index" },
  lower: (g, [x], { axis, keepdims }) => g.node("ArgMax", [x!], { axis, keepdims: keepdims ? 1 : 0 }),
  cases(rng) {
    const shape = draw.shape(rng, 1);
    return [{ x: [shape], attrs: { axis: draw.axis(rng, shape.length) } }];
  },
});
