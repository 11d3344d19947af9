import { ShapeError } from "../core/errors.ts";
import { broadcastShapes, type Dim, dimProduct, showShape } from "../core/shape.ts";
import { defineOp, type Op } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { add } from "./elementwise.ts";
import { reshape } from "./shape.ts";

interface MatMulAttrs {
  /** Read a as its transpose (last two axes). */
  readonly transA?: boolean;
  /** Read b as its transpose (last two axes). */
  readonly transB?: boolean;
  /** Factor on the product, default 1. */
  readonly alpha?: number;
}

/** Rows and columns of an operand after its transposition. */
function matrix(x: Tensor, transposed: boolean | undefined): [Dim, Dim] {
  const [rows, columns] = x.shape.slice(-2) as [Dim, Dim];
  return transposed ? [columns, rows] : [rows, columns];
}

export const matmulOp: Op<[a: Tensor, b: Tensor], MatMulAttrs> = defineOp({
  name: "matmul",
  infer([a, b], { transA, transB }) {
    if (a.rank < 2 || b.rank < 2 || a.dtype !== b.dtype)
      throw new ShapeError(`matmul: matrices of one dtype are expected, ${a} and ${b} were given`);
    const [m, k] = matrix(a, transA);
    const [k2, n] = matrix(b, transB);
    if (k !== k2)
      throw new ShapeError(
        `matmul: inner sizes differ, ${k} of ${showShape(a.shape)} and ${k2} of ${showShape(b.shape)}`,
      );
    return {
      dtype: a.dtype,
      shape: [...broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n],
    };
  },
  vjp({ dy, x: [a, b], attrs: { transA = false, transB = false, alpha = 1 } }) {
    return [
      transA
        ? matmul(b, dy, { transA: transB, transB: true, alpha })
        : matmul(dy, b, { transB: !transB, alpha }),
      transB
        ? matmul(dy, a, { transA: true, transB: transA, alpha })
        : matmul(a, dy, { transA: !transA, alpha }),
    ];
  },
  lower(g, [a, b], { transA, transB, alpha = 1 }) {
    if (!transA && !transB && alpha === 1) return g.node("MatMul", [a!, b!]);
    const attrs = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
    return g.node("FusedMatMul", [a!, b!], attrs, "com.microsoft");
  },
  cases(rng) {
    const [m, k, n] = [draw.size(rng), draw.size(rng), draw.size(rng)];
    const batch = draw.shape(rng, 0, 2);
    const flags = { transA: rng.int(2) === 1, transB: rng.int(2) === 1, alpha: [1, 0.5][rng.int(2)]! };
    return [
      {
        x: [
          [...batch, m, k],
          [...batch, k, n],
        ],
        attrs: {},
      },
      {
        x: [
          [...batch, m, k],
          [k, n],
        ],
        attrs: {},
      },
      {
        x: [
          [...batch, ...(flags.transA ? [k, m] : [m, k])],
          [...batch, ...(flags.transB ? [n, k] : [k, n])],
        ],
        attrs: flags,
      },
    ];
  },
});

/** Matrix product over the last two axes, batch axes broadcast: [.., M, K] × [.., K, N] -> [.., M, N]. */
export const matmul = (a: Tensor, b: Tensor, attrs: MatMulAttrs = {}): Tensor => matmulOp(a, b, attrs);

/** x·Wᵀ + bias for a published weight [out, in]: [.., in] -> [.., out]. Leading axes are flattened to one GEMM. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const lead = x.shape.slice(0, -1);
  const flat = reshape(x, [dimProduct(lead), x.shape[x.rank - 1]!]);
  const product = matmul(flat, weight, { transB: true });
  return reshape(bias ? add(product, bias) : product, [...lead, weight.shape[0]!]);
}
