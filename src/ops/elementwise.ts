import type { DType } from "../core/dtype.ts";
import { DTYPES, isFloat } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { broadcastShapes } from "../core/shape.ts";
import { defineOp, type Op, sameAs, type VjpContext } from "../graph/op.ts";
import { scalar, type Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";

type Unary = Op<[x: Tensor]>;
type Binary = Op<[a: Tensor, b: Tensor]>;
type NoAttrs = Record<never, never>;
type Range = readonly [number, number];

function unary(
  name: string,
  onnx: string,
  vjp: (c: VjpContext<[Tensor], NoAttrs>) => Tensor,
  range: Range = [-2, 2],
): Unary {
  return defineOp({
    name,
    infer([x]) {
      if (!isFloat(x.dtype))
        throw new ShapeError(`${name}: a float tensor is expected, ${x.dtype} was given`);
      return sameAs(x);
    },
    vjp: (c) => [vjp(c)],
    lower: (g, [x]) => g.node(onnx, [x!]),
    cases: (rng) => [{ x: [draw.shape(rng)], attrs: {}, range }],
  });
}

function inferBinary(name: string, a: Tensor, b: Tensor, dtype: DType = a.dtype) {
  if (a.dtype !== b.dtype)
    throw new ShapeError(`${name}: dtypes differ, ${a.dtype} and ${b.dtype}: cast one`);
  return { dtype, shape: broadcastShapes(name, a.shape, b.shape) };
}

const binaryCases = (range: Range) => (rng: Parameters<typeof draw.shape>[0]) => {
  const full = draw.shape(rng, 1);
  const other = draw.broadcastable(rng, full);
  return [
    { x: [full, full], attrs: {}, range },
    { x: [full, other], attrs: {}, range },
    { x: [other, full], attrs: {}, range },
  ];
};

function binary(
  name: string,
  onnx: string,
  vjp: (c: VjpContext<[Tensor, Tensor], NoAttrs>) => [Tensor, Tensor],
  range: Range = [-2, 2],
): Binary {
  return defineOp({
    name,
    infer: ([a, b]) => inferBinary(name, a, b),
    vjp,
    lower: (g, [a, b]) => g.node(onnx, [a!, b!]),
    cases: binaryCases(range),
  });
}

function comparison(name: string, onnx: string): Binary {
  return defineOp({
    name,
    infer: ([a, b]) => inferBinary(name, a, b, "bool"),
    vjp: { notDifferentiable: "its output is a truth value" },
    lower: (g, [a, b]) => g.node(onnx, [a!, b!]),
    cases: binaryCases([-2, 2]),
  });
}

export const negOp: Unary = unary("neg", "Neg", ({ dy }) => neg(dy));
export const exp: Unary = unary("exp", "Exp", ({ dy, y }) => mul(dy, y));
export const log: Unary = unary("log", "Log", ({ dy, x: [x] }) => div(dy, x), [0.3, 3]);
export const sqrt: Unary = unary("sqrt", "Sqrt", ({ dy, y }) => div(mul(dy, 0.5), y), [0.3, 3]);
export const reciprocal: Unary = unary(
  "reciprocal",
  "Reciprocal",
  ({ dy, y }) => neg(mul(dy, mul(y, y))),
  [0.3, 3],
);
export const erf: Unary = unary("erf", "Erf", ({ dy, x: [x] }) =>
  mul(dy, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
);
export const sigmoid: Unary = unary("sigmoid", "Sigmoid", ({ dy, y }) => mul(dy, mul(y, sub(1, y))));
export const tanh: Unary = unary("tanh", "Tanh", ({ dy, y }) => mul(dy, sub(1, mul(y, y))));
export const sin: Unary = unary("sin", "Sin", ({ dy, x: [x] }) => mul(dy, cos(x)));
export const cos: Unary = unary("cos", "Cos", ({ dy, x: [x] }) => neg(mul(dy, sin(x))));
export const abs: Unary = unary("abs", "Abs", ({ dy, x: [x] }) => where(less(x, scalar(0)), neg(dy), dy));

export const neg = (x: Tensor): Tensor => negOp(x);

export const addOp: Binary = binary("add", "Add", ({ dy }) => [dy, dy]);
export const subOp: Binary = binary("sub", "Sub", ({ dy }) => [dy, neg(dy)]);
export const mulOp: Binary = binary("mul", "Mul", ({ dy, x: [a, b] }) => [mul(dy, b), mul(dy, a)]);
export const divOp: Binary = binary(
  "div",
  "Div",
  ({ dy, x: [, b], y }) => {
    const da = div(dy, b);
    return [da, neg(mul(da, y))];
  },
  [0.5, 2],
);
export const maximum: Binary = binary("maximum", "Max", ({ dy, x: [a, b] }) => {
  const first = less(b, a);
  return [where(first, dy, mul(dy, 0)), where(first, mul(dy, 0), dy)];
});
export const minimum: Binary = binary("minimum", "Min", ({ dy, x: [a, b] }) => {
  const first = less(a, b);
  return [where(first, dy, mul(dy, 0)), where(first, mul(dy, 0), dy)];
});
export const less: Binary = comparison("less", "Less");
export const equal: Binary = comparison("equal", "Equal");

type Operand = Tensor | number;

/** Lifts a number to a scalar of the other operand's dtype. */
function lift(op: Binary): (a: Operand, b: Operand) => Tensor {
  return (a, b) => {
    const dtype = (typeof a === "number" ? (b as Tensor) : a).dtype === "i64" ? "i64" : "f32";
    const tensor = (v: Operand) => (typeof v === "number" ? scalar(v, dtype) : v);
    return op(tensor(a), tensor(b));
  };
}

/** Elementwise arithmetic with broadcasting; either operand may be a number. */
export const add = lift(addOp);
export const sub = lift(subOp);
export const mul = lift(mulOp);
export const div = lift(divOp);

/** x². */
export const square = (x: Tensor): Tensor => mul(x, x);

/** Elementwise choice: a where the condition holds, else b. Broadcasts. */
export const where: Op<[condition: Tensor, a: Tensor, b: Tensor]> = defineOp({
  name: "where",
  infer([c, a, b]) {
    if (c.dtype !== "bool") throw new ShapeError(`where: the condition must be bool, ${c.dtype} was given`);
    const { dtype, shape } = inferBinary("where", a, b);
    return { dtype, shape: broadcastShapes("where", c.shape, shape) };
  },
  vjp({ dy, x: [c] }) {
    const zero = scalar(0);
    return [undefined, where(c, dy, zero), where(c, zero, dy)];
  },
  lower: (g, [c, a, b]) => g.node("Where", [c!, a!, b!]),
  cases(rng) {
    const full = draw.shape(rng, 1);
    return [
      { x: [draw.booleans(rng, full), full, full], attrs: {} },
      {
        x: [draw.booleans(rng, draw.broadcastable(rng, full)), full, draw.broadcastable(rng, full)],
        attrs: {},
      },
    ];
  },
});

/** Conversion to another dtype; the gradient is cast back where both are floats. */
export const castOp: Op<[x: Tensor], { dtype: DType }> = defineOp({
  name: "cast",
  infer: ([x], { dtype }) => ({ dtype, shape: x.shape }),
  vjp: ({ dy, x: [x] }) => [isFloat(x.dtype) && isFloat(dy.dtype) ? cast(dy, x.dtype) : undefined],
  lower: (g, [x], { dtype }) => g.node("Cast", [x!], { to: DTYPES[dtype].onnx }),
  cases: (rng) => [
    { x: [draw.shape(rng)], attrs: { dtype: "f32" as const } },
    { x: [draw.indices(rng, draw.shape(rng), 9)], attrs: { dtype: "f32" as const } },
    { x: [draw.booleans(rng, draw.shape(rng))], attrs: { dtype: "f32" as const } },
  ],
});

/** x in another dtype; x itself when it already has it. */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : castOp(x, { dtype }));
