import { i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { defineOp, type Op, sameAs } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";

/**
 * Ops for which the runtime has one kernel and models have several: made by the rewrites of onnx/fuse.ts, after
 * differentiation. Models do not call them.
 */
const afterDifferentiation = { notDifferentiable: "it is made by a rewrite, after differentiation" } as const;

/** Residual and root-mean-square normalisation: outputs RMSNorm(x + skip) and x + skip. */
export const skipRmsNorm: Op<[x: Tensor, skip: Tensor, weight: Tensor], { epsilon: number }> = defineOp({
  name: "skip_rms_norm",
  infer([x, skip]) {
    if (!sameShape(x.shape, skip.shape) || (x.rank !== 2 && x.rank !== 3))
      throw new ShapeError(
        `skip_rms_norm: two equal shapes of rank 2 or 3 are expected, found ${x} and ${skip}`,
      );
    return [sameAs(x), sameAs(x)];
  },
  vjp: afterDifferentiation,
  lower(g, x, { epsilon }) {
    const out = g.nodes(
      4,
      "SkipSimplifiedLayerNormalization",
      x,
      { epsilon: { float: epsilon } },
      "com.microsoft",
    );
    return [out[0]!, out[3]!];
  },
  cases(rng) {
    const shape = [...draw.shape(rng, 1, 2), 3 + rng.int(5)];
    return [{ x: [shape, shape, [shape[shape.length - 1]!]], attrs: { epsilon: 1e-6 } }];
  },
});

/** GELU(x + bias), bias along the last axis. */
export const biasGelu: Op<[x: Tensor, bias: Tensor]> = defineOp({
  name: "bias_gelu",
  infer([x, bias]) {
    if (bias.rank !== 1 || bias.shape[0] !== x.shape[x.rank - 1])
      throw new ShapeError(`bias_gelu: a bias [${x.shape[x.rank - 1]}] is expected, found ${bias}`);
    return sameAs(x);
  },
  vjp: afterDifferentiation,
  lower: (g, x) => g.node("BiasGelu", x, {}, "com.microsoft"),
  cases(rng) {
    const shape = draw.shape(rng, 1, 3);
    return [{ x: [shape, [shape[shape.length - 1]!]], attrs: {}, range: [-2, 2] }];
  },
});

/** x·W + bias or x·Wᵀ + bias for a matrix x [M, K] and a bias [N]. */
export const gemm: Op<[x: Tensor, weight: Tensor, bias: Tensor], { transB: boolean }> = defineOp({
  name: "gemm",
  infer([x, weight, bias], { transB }) {
    const [k, n] = transB ? [weight.shape[1], weight.shape[0]] : weight.shape;
    if (x.rank !== 2 || weight.rank !== 2 || x.shape[1] !== k || bias.rank !== 1 || bias.shape[0] !== n)
      throw new ShapeError(`gemm: ${x}, ${weight} and ${bias} do not fit`);
    return { dtype: x.dtype, shape: [x.shape[0]!, n!] };
  },
  vjp: afterDifferentiation,
  lower: (g, x, { transB }) => g.node("Gemm", x, { transB: transB ? 1 : 0 }),
  cases(rng) {
    const [m, k, n] = [draw.size(rng), draw.size(rng), draw.size(rng)];
    return [
      { x: [[m, k], [n, k], [n]], attrs: { transB: true } },
      { x: [[m, k], [k, n], [n]], attrs: { transB: false } },
    ];
  },
});

interface MultiHeadAttrs {
  readonly heads: number;
  readonly scale: number;
  /** Each position sees itself and what comes before. */
  readonly causal?: boolean;
}

/**
 * Attention over heads that lie side by side: q [B, Lq, H·d], k [B, Lk, H·d], v [B, Lk, H·e] and an optional additive
 * mask that broadcasts to [B, H, Lq, Lk] -> [B, Lq, H·e]. One kernel, scores are never held whole.
 */
export const multiHeadAttention: Op<readonly Tensor[], MultiHeadAttrs> = defineOp({
  name: "multi_head_attention",
  infer([q, k, v], { heads }) {
    if (
      q?.rank !== 3 ||
      k?.rank !== 3 ||
      v?.rank !== 3 ||
      q.shape[2] !== k.shape[2] ||
      Number(q.shape[2]) % heads !== 0
    )
      throw new ShapeError(`multi_head_attention: ${q}, ${k} and ${v} do not fit ${heads} heads`);
    return { dtype: q.dtype, shape: [q.shape[0]!, q.shape[1]!, v.shape[2]!] };
  },
  vjp: afterDifferentiation,
  lower(g, [q, k, v, mask], { heads, scale, causal }) {
    const inputs = [q!, k!, v!, ...(mask ? ["", "", mask] : [])];
    const attrs = { num_heads: heads, scale: { float: scale }, unidirectional: causal ? 1 : 0 };
    return g.node("MultiHeadAttention", inputs, attrs, "com.microsoft");
  },
  cases(rng) {
    const [B, L, heads, d] = [1 + rng.int(2), draw.size(rng), 1 + rng.int(3), 2 * (1 + rng.int(3))];
    const row = [B, L, heads * d];
    const attrs = { heads, scale: 0.7 };
    return [
      { x: [row, row, row], attrs },
      { x: [row, row, row], attrs: { ...attrs, causal: true } },
      { x: [[B, 3, heads * d], row, row], attrs },
      { x: [row, row, row, [1, 1, L, L]], attrs },
    ];
  },
});

interface GroupedAttrs extends MultiHeadAttrs {
  /** Heads of keys and values; each serves heads / groups query heads in a row. */
  readonly groups: number;
}

/**
 * Attention with fewer key heads than query heads: q [B, Lq, H·d], k [B, Lk, G·d], v [B, Lk, G·e] and an optional
 * additive mask [.., Lq, Lk] -> [B, Lq, H·e]. Keys and values are not repeated in memory.
 */
export const groupedAttention: Op<readonly Tensor[], GroupedAttrs> = defineOp({
  name: "grouped_attention",
  infer([q, k, v], { heads, groups }) {
    const width = Number(q?.shape[2]) / heads;
    if (
      q?.rank !== 3 ||
      k?.rank !== 3 ||
      v?.rank !== 3 ||
      Number(k.shape[2]) / groups !== width ||
      heads % groups !== 0
    )
      throw new ShapeError(
        `grouped_attention: ${q}, ${k} and ${v} do not fit ${heads} heads in ${groups} groups`,
      );
    return { dtype: q.dtype, shape: [q.shape[0]!, q.shape[1]!, (Number(v.shape[2]) / groups) * heads] };
  },
  vjp: afterDifferentiation,
  lower: (g, inputs, { heads, groups, scale, causal }) =>
    g.node("Attention", inputs, {
      q_num_heads: heads,
      kv_num_heads: groups,
      scale: { float: scale },
      is_causal: causal ? 1 : 0,
    }),
  cases(rng) {
    const [B, L, groups, times, d] = [
      1 + rng.int(2),
      draw.size(rng),
      1 + rng.int(2),
      2 + rng.int(2),
      2 * (1 + rng.int(3)),
    ];
    const [q, kv] = [
      [B, L, groups * times * d],
      [B, L, groups * d],
    ];
    const attrs = { heads: groups * times, groups, scale: 0.7 };
    return [
      { x: [q, kv, kv], attrs },
      { x: [q, kv, kv], attrs: { ...attrs, causal: true } },
      { x: [q, kv, kv, [L, L]], attrs },
    ];
  },
});

/**
 * Rotation of halves by position for heads that lie side by side: x [B, L, H·d], cos and sin [L, d/2]. Positions are
 * 0 … L − 1.
 */
export const rotaryEmbedding: Op<[x: Tensor, cos: Tensor, sin: Tensor], { heads: number }> = defineOp({
  name: "rotary_embedding",
  infer([x, cos, sin], { heads }) {
    const half = Number(x.shape[2]) / heads / 2;
    for (const t of [cos, sin])
      if (x.rank !== 3 || !sameShape(t.shape, [x.shape[1]!, half]))
        throw new ShapeError(`rotary_embedding: ${t} does not fit ${x} with ${heads} heads`);
    return sameAs(x);
  },
  vjp: afterDifferentiation,
  lower: (g, [x, cos, sin], { heads }) =>
    // One position id for all means: positions count up from it.
    g.node(
      "RotaryEmbedding",
      [x!, g.constant(i64([1], [0])), cos!, sin!],
      { num_heads: heads },
      "com.microsoft",
    ),
  cases(rng) {
    const [L, half, heads] = [draw.size(rng), 8 * (1 + rng.int(2)), 1 + rng.int(3)];
    return [
      {
        x: [
          [1 + rng.int(2), L, 2 * half * heads],
          [L, half],
          [L, half],
        ],
        attrs: { heads },
      },
    ];
  },
});
