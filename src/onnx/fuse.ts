import { sameShape } from "../core/shape.ts";
import { applyOp } from "../graph/op.ts";
import type { Node, Tensor } from "../graph/tensor.ts";
import {
  biasGelu,
  gemm,
  groupedAttention,
  multiHeadAttention,
  rotaryEmbedding,
  skipRmsNorm,
} from "../ops/fused.ts";
import { reshape } from "../ops/index.ts";
import { matmul } from "../ops/matmul.ts";
import { made, only, type RewriteContext, type Rule, rewrite } from "./rewrite.ts";

/** One kernel where the graph has several ops. Values are the same up to rounding (test/invariants/fused.test.ts). */
export function fuse(
  outputs: Readonly<Record<string, Tensor>>,
  options: {
    /** Whether attention is one kernel; default true. */
    readonly attention?: boolean;
  } = {},
): Record<string, Tensor> {
  const { attention = true } = options;
  const passes = attention ? PASSES : PASSES.map((rules) => rules.filter((rule) => rule !== fuseAttention));
  return passes.reduce<Record<string, Tensor>>((graph, rules) => rewrite(graph, rules), { ...outputs });
}

/** What stands for a node with one output. */
const becomes = (node: Node, t: Tensor): ReadonlyMap<Tensor, Tensor> => new Map([[node.outputs[0]!, t]]);

/** x + bias → GELU, before the bias joins its matrix product. */
const fuseBiasGelu: Rule = (node, c) => {
  // A gradient that reads the distribution function needs the ops apart.
  if (node.op.def.name !== "gelu" || c.uses(node.outputs[1]!) > 0) return undefined;
  const [x, unflatten] = throughReshape(node.inputs[0]!, c);
  const sum = only(x, "add", c);
  const bias = sum?.inputs[1];
  if (!sum || bias?.rank !== 1 || !unflatten) return undefined;
  return becomes(node, unflatten(biasGelu(c.now(sum.inputs[0]!), c.now(bias))));
};

/** A reshape that only this reader sees may be done after an elementwise op instead of before. */
function throughReshape(t: Tensor, c: RewriteContext): [Tensor, ((y: Tensor) => Tensor) | undefined] {
  const reshaped = only(t, "reshape", c);
  if (!reshaped) return [t, c.uses(t) === 1 ? (y) => y : undefined];
  return [reshaped.inputs[0]!, (y) => reshaped.op(y, reshaped.attrs)];
}

/** Matrix product and bias. */
const fuseGemm: Rule = (node, c) => {
  if (node.op.def.name !== "add") return undefined;
  const product = only(node.inputs[0], "matmul", c);
  const bias = node.inputs[1]!;
  const { transA, transB, alpha } = (product?.attrs ?? {}) as {
    transA?: boolean;
    transB?: boolean;
    alpha?: number;
  };
  const [x, weight] = product?.inputs ?? [];
  const plain = !transA && (alpha ?? 1) === 1 && x?.rank === 2 && weight?.rank === 2 && bias.rank === 1;
  if (!plain || bias.shape[0] !== node.outputs[0]!.shape[1]) return undefined;
  return becomes(node, gemm(c.now(x!), c.now(weight!), c.now(bias), { transB: transB ?? false }));
};

/**
 * Residual sum and root-mean-square normalisation; the sum stays available to its other readers. Not of LayerNorm: its
 * fused kernel takes four times as long as the sum and the norm (ONNX Runtime 1.30, docs/LOG.md, 2026-11-29).
 */
const residualNorm: Rule = (node, c) => {
  if (node.op.def.name !== "rms_norm") return undefined;
  const x = node.inputs[0]!;
  const sum = made(x, "add");
  const extra = node.outputs.slice(1).some((t) => c.uses(t) > 0);
  if (
    !sum ||
    extra ||
    made(c.now(x), "skip_rms_norm") ||
    sum.inputs.some((t) => t.shape.join() !== x.shape.join())
  )
    return undefined;
  if (x.rank !== 2 && x.rank !== 3) return undefined;
  const [a, b, weight] = [...sum.inputs, node.inputs[1]!].map(c.now) as [Tensor, Tensor, Tensor];
  const [normed, total] = skipRmsNorm.outputs(a, b, weight, node.attrs as { epsilon: number });
  return new Map([
    [node.outputs[0]!, normed!],
    [x, total!],
  ]);
};

/** Rows of heads side by side [B, L, H·d] and their number. */
interface HeadRows {
  readonly rows: Tensor;
  readonly heads: number;
}

/** Undoes "B L (H d) -> B H L d", a reshape and a transpose, when t has `readers` readers. */
function splitHeads(t: Tensor, readers: number, c: RewriteContext): HeadRows | undefined {
  const moved = c.uses(t) === readers ? made(t, "transpose") : undefined;
  if (moved?.attrs.perm?.toString() !== "0,2,1,3") return undefined;
  const reshaped = only(moved.inputs[0], "reshape", c);
  const rows = reshaped?.inputs[0];
  const [B, L, heads] = moved.inputs[0]?.shape ?? [];
  if (rows?.rank !== 3 || typeof heads !== "number" || rows.shape[0] !== B || rows.shape[1] !== L)
    return undefined;
  return { rows: c.now(rows), heads };
}

/** Key or value rows, and how many query heads share one of theirs: undoes the repetition of heads (repeatHeads). */
function keyRows(t: Tensor, c: RewriteContext): (HeadRows & { readonly times: number }) | undefined {
  const repeated = only(t, "reshape", c);
  const expanded = only(repeated?.inputs[0], "expand", c);
  const inserted = only(expanded?.inputs[0], "reshape", c);
  const single = inserted?.inputs[0];
  const [B, G, times, L] = expanded?.outputs[0]?.shape ?? [];
  const groupsOf =
    single?.rank === 4 && single.shape[0] === B && single.shape[1] === G && single.shape[2] === L;
  const found = headRows(groupsOf && typeof times === "number" ? single : t, c);
  return found && { ...found, times: groupsOf ? (times as number) : 1 };
}

/** Undoes the splitting of heads, and brings a rotation of the split heads back to the rows. */
function headRows(t: Tensor, c: RewriteContext): HeadRows | undefined {
  const turned = matchRotary(t, c);
  if (!turned) return splitHeads(t, 1, c);
  const split = splitHeads(turned.x, 2, c);
  if (!split) return undefined;
  const { rows, heads } = split;
  return { rows: rotaryEmbedding(rows, c.now(turned.cos), c.now(turned.sin), { heads }), heads };
}

/** concat(a·cos − b·sin, b·cos + a·sin) of the halves a and b of x. */
function matchRotary(t: Tensor, c: RewriteContext): { x: Tensor; cos: Tensor; sin: Tensor } | undefined {
  const joined = only(t, "concat", c);
  if (joined?.inputs.length !== 2 || joined.attrs.axis !== 3) return undefined;
  const [first, second] = joined.inputs.map((s) => only(s, "add", c));
  const acos = only(first?.inputs[0], "mul", c);
  const bsin = only(only(first?.inputs[1], "neg", c)?.inputs[0], "mul", c);
  const bcos = only(second?.inputs[0], "mul", c);
  const asin = only(second?.inputs[1], "mul", c);
  if (!acos || !bsin || !bcos || !asin) return undefined;
  const [a, cos] = acos.inputs as [Tensor, Tensor];
  const [b, sin] = bsin.inputs as [Tensor, Tensor];
  const x = made(a, "slice")?.inputs[0];
  const agrees =
    bcos.inputs[0] === b && bcos.inputs[1] === cos && asin.inputs[0] === a && asin.inputs[1] === sin;
  const half = Number(x?.shape[3]) / 2;
  const halves = isSlice(a, x, 0, half) && isSlice(b, x, half, 2 * half);
  return x && agrees && halves && cos.rank === 2 ? { x, cos, sin } : undefined;
}

function isSlice(t: Tensor, x: Tensor | undefined, start: number, end: number): boolean {
  const node = made(t, "slice");
  return (
    node?.inputs[0] === x && node?.attrs.axis === 3 && node.attrs.start === start && node.attrs.end === end
  );
}

/** Heads split, scores, mask, softmax, weighted sum and heads merged: one kernel. */
const fuseAttention: Rule = (node, c) => {
  if (node.op.def.name !== "reshape" || node.outputs[0]!.rank !== 3) return undefined;
  const merged = only(node.inputs[0], "transpose", c);
  if (merged?.attrs.perm?.toString() !== "0,2,1,3") return undefined;
  const weighted = only(merged.inputs[0], "matmul", c);
  const weights = only(weighted?.inputs[0], "softmax", c);
  if (!weighted || weighted.attrs.transA || weighted.attrs.transB || weights?.attrs.axis !== -1)
    return undefined;
  const masked = only(weights.inputs[0], "add", c);
  const scores = only(masked ? masked.inputs[0] : weights.inputs[0], "matmul", c);
  if (!scores?.attrs.transB || scores.attrs.transA) return undefined;
  const q = headRows(scores.inputs[0]!, c);
  const k = keyRows(scores.inputs[1]!, c);
  const v = keyRows(weighted.inputs[1]!, c);
  if (!q || !k || !v || k.times !== v.times || q.heads !== k.heads * k.times || k.heads !== v.heads)
    return undefined;
  const mask = masked?.inputs[1];
  const causalMask = made(mask, "causal_mask");
  const causal = causalMask !== undefined && !causalMask.attrs.offset;
  const rows = [q.rows, k.rows, v.rows, ...(mask && !causal ? [padRank(c.now(mask))] : [])];
  const attrs = {
    heads: q.heads,
    scale: (scores.attrs.alpha as number | undefined) ?? 1,
    ...(causal && { causal }),
  };
  const fused =
    k.times > 1
      ? groupedAttention(...rows, { ...attrs, groups: k.heads })
      : multiHeadAttention(...rows, attrs);
  return becomes(node, fused);
};

const QUANTIZED = ["matmul_nbits", "matmul_int8"];

/** Whether t is a product with quantised weights, or that and what is added to it. */
function isQuantizedProduct(t: Tensor): boolean {
  const first = made(t, "add")?.inputs[0];
  return QUANTIZED.some((name) => made(t, name)) || (first !== undefined && isQuantizedProduct(first));
}

/**
 * Queries, keys and values that one product gave are read where they lie. Of quantised products only: ONNX Runtime 1.30
 * fuses a float product with its bias, knows the sum's width no more and takes it for 0.
 */
const packCachedAttention: Rule = (node, c) => {
  const { isPacked } = node.attrs as { readonly isPacked?: boolean };
  if (node.op.def.name !== "cached_attention" || isPacked) return undefined;
  const [q, k, v, ...rest] = node.inputs;
  const parts = only(q, "split", c);
  const isAll = parts?.outputs.length === 3 && parts.outputs.every((t, i) => t === [q, k, v][i]);
  if (!isAll || c.uses(k!) !== 1 || c.uses(v!) !== 1 || !isQuantizedProduct(parts.inputs[0]!))
    return undefined;
  const inputs = [parts.inputs[0]!, ...rest].map(c.now);
  const outputs = applyOp(node.op, inputs, { ...node.attrs, isPacked: true });
  return new Map(node.outputs.map((t, i) => [t, outputs[i]!]));
};

/** A mask with leading axes of size 1 up to rank 4. */
const padRank = (mask: Tensor): Tensor =>
  reshape(mask, [...Array.from({ length: 4 - mask.rank }, () => 1), ...mask.shape]);

/** Rows flattened for a product with a matrix and its result unflattened: the kernel sees rows of any rank as one. */
const fuseFlattening: Rule = (node, c) => {
  if (node.op.def.name !== "reshape") return undefined;
  const product = only(node.inputs[0], "matmul", c);
  const [flat, weight] = product?.inputs ?? [];
  const x = made(flat, "reshape")?.inputs[0];
  const shape = node.outputs[0]!.shape;
  if (!product || product.attrs.transA || !x || x.rank < 3 || flat!.rank !== 2 || weight!.rank !== 2)
    return undefined;
  if (
    !sameShape([...x.shape.slice(0, -1), shape[shape.length - 1]!], shape) ||
    flat!.shape[1] !== x.shape[x.rank - 1]
  )
    return undefined;
  return becomes(node, matmul(c.now(x), c.now(weight!), product.attrs));
};

/** Passes in order; within one, the first rule that applies to a node wins. */
const PASSES: readonly (readonly Rule[])[] = [
  [fuseAttention, fuseBiasGelu, packCachedAttention],
  [fuseGemm, fuseFlattening, residualNorm],
];
