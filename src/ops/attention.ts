import { f32, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import type { Dim } from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import { softmax } from "./activation.ts";
import * as draw from "./draw.ts";
import { add, mul, neg, sub } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { dims } from "./rearrange.ts";
import { concat, expand, reshape, slice } from "./shape.ts";

/** Finite, so that a fully masked row gives numbers and not NaN; half of the range, so that two may be added. */
export const MASKED = -1.7e38;

/** Additive causal mask [rows, columns]: 0 where column <= row + offset, MASKED elsewhere. */
export const causalMask: Op<[], { rows: Dim; columns: Dim; offset?: number }> = defineOp({
  name: "causal_mask",
  infer: (_x, { rows, columns }) => ({ dtype: "f32", shape: [rows, columns] }),
  vjp: { notDifferentiable: "it depends on sizes only" },
  lower(g, _x, { rows, columns, offset = 0 }) {
    const full = g.node("Expand", [g.constant(f32([], [MASKED])), g.shape([rows, columns])]);
    return g.node("Trilu", [full, g.constant(i64([], [1 + offset]))], { upper: 1 });
  },
  cases: (rng) => [
    { x: [], attrs: { rows: draw.size(rng), columns: draw.size(rng) } },
    { x: [], attrs: { rows: 3, columns: 5, offset: 2 } },
  ],
});

export interface AttentionOptions {
  /** Added to the scores; broadcasts to [B, H, Lq, Lk]. */
  readonly mask?: Tensor;
  /** Factor on the scores, default 1/√d. */
  readonly scale?: number;
  /** A logit of each head [H] that takes part in the softmax and has no value (GPT-OSS). */
  readonly sinks?: Tensor;
}

/**
 * Softmax attention: q [B, H, Lq, d], k [B, G, Lk, d], v [B, G, Lk, e] -> [B, H, Lq, e], where G divides H (grouped
 * heads: key head g serves the query heads g·H/G …). Built of plain ops; the lowering may fuse it.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { H, d } = dims(q, "B H L d");
  const { G, d: width } = dims(k, "B G L d");
  if (typeof d !== "number" || typeof H !== "number" || typeof G !== "number" || d !== width || H % G !== 0)
    throw new ShapeError(`attention: heads of q ${q} and k ${k} do not fit`);
  const scale = options.scale ?? d ** -0.5;
  const scores = matmul(q, repeatHeads(k, H / G), { transB: true, alpha: scale });
  const weights = softmaxWithSinks(options.mask ? add(scores, options.mask) : scores, options.sinks);
  return matmul(weights, repeatHeads(v, H / G));
}

/** Softmax of the scores [B, H, Lq, Lk] over the last axis, with one further logit a head [H] whose weight is dropped. */
function softmaxWithSinks(scores: Tensor, sinks: Tensor | undefined): Tensor {
  if (!sinks) return softmax(scores, { axis: -1 });
  const [B, H, rows, columns] = scores.shape as [Dim, Dim, Dim, Dim];
  const column = expand(reshape(sinks, [1, H, 1, 1]), [B, H, rows, 1]);
  return slice(softmax(concat(scores, column, { axis: 3 }), { axis: -1 }), {
    axis: 3,
    start: 0,
    end: columns,
  });
}

/** Additive causal mask [L, L] where each position sees the last `window`, itself included, or all where it is left out. */
export function windowMask(L: Dim, window?: number): Tensor {
  const causal = causalMask({ rows: L, columns: L });
  if (window === undefined) return causal;
  // What comes before the window: the one half of the table where the other mask is 0.
  return add(causal, sub(MASKED, causalMask({ rows: L, columns: L, offset: -window })));
}

/** Each head `times` times in a row: [B, G, L, d] -> [B, G·times, L, d]. */
export function repeatHeads(x: Tensor, times: number): Tensor {
  if (times === 1) return x;
  const [B, G, L, d] = x.shape as [Dim, number, Dim, Dim];
  return reshape(expand(reshape(x, [B, G, 1, L, d]), [B, G, times, L, d]), [B, G * times, L, d]);
}

/** Rotates halves, pairs (i, i + d/2): x [B, H, L, d]; cos and sin [L, d/2] or broadcastable. */
export function rotary(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const width = x.shape[3];
  if (x.rank !== 4 || typeof width !== "number" || width % 2 !== 0)
    throw new ShapeError(`rotary: [B, H, L, d] with an even d is expected, found ${x}`);
  const half = width / 2;
  const a = slice(x, { axis: 3, start: 0, end: half });
  const b = slice(x, { axis: 3, start: half, end: 2 * half });
  return concat(add(mul(a, cos), neg(mul(b, sin))), add(mul(b, cos), mul(a, sin)), { axis: 3 });
}
