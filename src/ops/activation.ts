import { ShapeError } from "../core/errors.ts";
import { normalizeAxis } from "../core/shape.ts";
import { defineOp, type Op, sameAs } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { add, erf, exp, mul, sigmoid, sub } from "./elementwise.ts";
import { sum } from "./reduce.ts";

const axisCases = (rng: Parameters<typeof draw.shape>[0]) => {
  const shape = draw.shape(rng, 1);
  return [{ x: [shape], attrs: { axis: draw.axis(rng, shape.length) }, range: [-4, 4] as const }];
};

/** Softmax over one axis. x: float, any rank >= 1. */
export const softmax: Op<[x: Tensor], { axis: number }> = defineOp({
  name: "softmax",
  infer([x], { axis }) {
    normalizeAxis("softmax", axis, x.rank);
    return sameAs(x);
  },
  vjp: ({ dy, y, attrs: { axis } }) => [mul(y, sub(dy, sum(mul(dy, y), { axes: [axis], keepdims: true })))],
  lower: (g, [x], { axis }) => g.node("Softmax", [x!], { axis }),
  cases: axisCases,
});

/** Logarithm of the softmax over one axis, in nats. */
export const logSoftmax: Op<[x: Tensor], { axis: number }> = defineOp({
  name: "log_softmax",
  infer([x], { axis }) {
    normalizeAxis("log_softmax", axis, x.rank);
    return sameAs(x);
  },
  vjp: ({ dy, y, attrs: { axis } }) => [sub(dy, mul(exp(y), sum(dy, { axes: [axis], keepdims: true })))],
  lower: (g, [x], { axis }) => g.node("LogSoftmax", [x!], { axis }),
  cases: axisCases,
});

const float = (name: string, x: Tensor) => {
  if (x.dtype !== "f32") throw new ShapeError(`${name}: f32 is expected, ${x.dtype} was given`);
  return sameAs(x);
};

/** Exact GELU, x·Φ(x) with Φ the normal distribution function (erf, not tanh). */
export const gelu: Op<[x: Tensor]> = defineOp({
  name: "gelu",
  infer: ([x]) => float("gelu", x),
  vjp({ dy, x: [x] }) {
    const t = mul(x, Math.SQRT1_2);
    const cdf = add(mul(erf(t), 0.5), 0.5);
    const pdf = exp(mul(mul(t, t), -1));
    return [mul(dy, add(cdf, mul(mul(x, pdf), 1 / Math.sqrt(2 * Math.PI))))];
  },
  lower: (g, [x]) => g.node("Gelu", [x!], {}, "com.microsoft"),
  cases: (rng) => [{ x: [draw.shape(rng, 1)], attrs: {}, range: [-3, 3] }],
});

/** SiLU (swish), x·σ(x). */
export const silu: Op<[x: Tensor]> = defineOp({
  name: "silu",
  infer: ([x]) => float("silu", x),
  vjp({ dy, x: [x], y }) {
    const s = sigmoid(x);
    return [mul(dy, add(s, mul(y, sub(1, s))))];
  },
  lower: (g, [x]) => g.node("QuickGelu", [x!], { alpha: { float: 1 } }, "com.microsoft"),
  cases: (rng) => [{ x: [draw.shape(rng, 1)], attrs: {}, range: [-4, 4] }],
});
