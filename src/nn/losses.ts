import { f32 } from "../core/array.ts";
import { dimSub, staticShape } from "../core/shape.ts";
import { constant, scalar, type Tensor } from "../graph/tensor.ts";
import {
  add,
  cast,
  dims,
  div,
  less,
  logSoftmax,
  matmul,
  mul,
  neg,
  reshape,
  slice,
  sqrt,
  square,
  sum,
  takeAlong,
  where,
} from "../ops/index.ts";

/** x over its Euclidean length along the last axis. */
export function l2Normalize(x: Tensor): Tensor {
  return div(x, sqrt(sum(square(x), { axes: [-1], keepdims: true })));
}

/** Mean over rows of −log softmax at the diagonal: logits [B, B] -> scalar, in nats. */
function diagonalCrossEntropy(logits: Tensor, axis: number): Tensor {
  const { B } = dims(logits, "B B");
  const [n] = staticShape("contrastiveLoss", [B]) as [number];
  const eye = constant(
    f32(
      [n, n],
      Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
    ),
  );
  return mul(neg(sum(mul(logSoftmax(logits, { axis }), eye))), 1 / n);
}

/**
 * Symmetric contrastive loss (arXiv:2312.14238 §3.2, stage 1): image and text embeddings [B, E], not normalised, and
 * the scale that multiplies cosines; a scalar in nats.
 */
export function contrastiveLoss(images: Tensor, texts: Tensor, scale: Tensor): Tensor {
  const logits = mul(matmul(l2Normalize(images), l2Normalize(texts), { transB: true }), scale);
  return mul(add(diagonalCrossEntropy(logits, 1), diagonalCrossEntropy(logits, 0)), 0.5);
}

/** Cross entropy in nats: logits [B, K, V], targets i64 [B, K] and their weights [B, K] -> the weighted mean, a scalar. */
export function crossEntropy(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  const { B, K } = dims(targets, "B K");
  const scores = logSoftmax(logits, { axis: 2 });
  const picked = reshape(takeAlong(scores, reshape(targets, [B, K, 1]), { axis: 2 }), [B, K]);
  return neg(div(sum(mul(picked, weights)), sum(weights)));
}

/**
 * Next-token cross entropy in nats: logits [B, L, V] and labels i64 [B, L], negative where a token is not trained
 * (-100); position i predicts label i + 1. The mean over trained tokens, a scalar.
 */
export function nextTokenLoss(logits: Tensor, labels: Tensor): Tensor {
  const { L } = dims(labels, "B L");
  const targets = slice(labels, { axis: 1, start: 1, end: L });
  const isTrained = less(scalar(-1, "i64"), targets);
  return crossEntropy(
    slice(logits, { axis: 1, start: 0, end: dimSub(L, 1) }),
    where(isTrained, targets, scalar(0, "i64")),
    cast(isTrained, "f32"),
  );
}
