import { f32 } from "../core/array.ts";
import { staticShape } from "../core/shape.ts";
import { constant, type Tensor } from "../graph/tensor.ts";
import { add, dims, div, logSoftmax, matmul, mul, neg, sqrt, square, sum } from "../ops/index.ts";

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
