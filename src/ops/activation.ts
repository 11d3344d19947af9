import { f32 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { normalizeAxis } from "../core/shape.ts";
import { defineOp, type Op, sameAs } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { add, exp, mul, sigmoid, sub } from "./elementwise.ts";
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

const HALF_LOG_PI = Math.log(Math.PI) / 2;

/**
 * Exact GELU, x·Φ(x) with Φ the normal distribution function (erf, not tanh). Further output: Φ(x), which the gradient
 * reads; a graph without it has one kernel.
 */
export const gelu: Op<[x: Tensor]> = defineOp({
  name: "gelu",
  infer: ([x]) => [float("gelu", x), float("gelu", x)],
  vjp({ dy, x: [x], ys: [, cdf] }) {
    const t = mul(x, Math.SQRT1_2);
    // Φ'(x)·x = t·exp(−t²)/√π: the factor joins the exponent, which saves a pass over the tensor.
    return [mul(dy, add(cdf!, mul(t, exp(sub(-HALF_LOG_PI, mul(t, t))))))];
  },
  lower(g, [x], _attrs, node) {
    if (!g.isUsed(node.outputs[1]!)) return g.node("Gelu", [x!], {}, "com.microsoft");
    const erf = g.node("Erf", [g.node("Mul", [x!, g.constant(f32([], [Math.SQRT1_2]))])]);
    // (1 + erf)/2 in one pass; the limits 0 and 1 are its own.
    const cdf = g.node("HardSigmoid", [erf], { alpha: 0.5, beta: 0.5 });
    return [g.node("Mul", [x!, cdf]), cdf];
  },
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
