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

interface MatMulNBitsAttrs {
  readonly K: number;
  readonly N: number;
  readonly bits: 4 | 8;
  /** Weights that share a scale, along K. */
  readonly blockSize: number;
}

/**
 * x·Wᵀ for a block-quantised weight: x f32 [.., K], codes u8 [N, blocks, blockSize·bits/8], scales f32 [N, blocks].
 * Symmetric: the zero point is 2^(bits-1). Activations are quantised to int8 inside the kernel (accuracy_level 4).
 */
export const matmulNBits: Op<[x: Tensor, codes: Tensor, scales: Tensor], MatMulNBitsAttrs> = defineOp({
  name: "matmul_nbits",
  infer([x, codes, scales], { K, N, bits, blockSize }) {
    const blocks = Math.ceil(K / blockSize);
    const wanted = [`${K}`, `[${[N, blocks, (blockSize * bits) / 8]}]`, `[${[N, blocks]}]`].join(" ");
    const found = [`${x.shape[x.rank - 1]}`, `[${codes.shape}]`, `[${scales.shape}]`].join(" ");
    if (wanted !== found)
      throw new ShapeError(`matmul_nbits: K, codes and scales must be ${wanted}, found ${found}`);
    return { dtype: "f32", shape: [...x.shape.slice(0, -1), N] };
  },
  vjp: { notDifferentiable: "quantised weights are for inference" },
  lower: (g, [x, codes, scales], { K, N, bits, blockSize }) =>
    g.node(
      "MatMulNBits",
      [x!, codes!, scales!],
      { K, N, bits, block_size: blockSize, accuracy_level: 4 },
      "com.microsoft",
    ),
  cases(rng) {
    const [K, N, blockSize] = [32 * (1 + rng.int(3)), draw.size(rng), [16, 32][rng.int(2)]!];
    const codes = (bits: number) => {
      const dims = [N, Math.ceil(K / blockSize), (blockSize * bits) / 8];
      const data = Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.int(256));
      return { dtype: "u8" as const, shape: dims, data };
    };
    return ([4, 8] as const).map((bits) => ({
      x: [[draw.size(rng), K], codes(bits), [N, Math.ceil(K / blockSize)]],
      attrs: { K, N, bits, blockSize },
    }));
  },
});
