import { f32, hostTensor, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { defineOp, type Op } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { add } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { reshape } from "./shape.ts";

/**
 * How the kernel takes activations, everywhere: 4 rounds them to 8 bits in blocks, 1 keeps f32. With f32 a 4-bit file of
 * SmolLM2 agrees with its dequantised weights to the last token, with 8 bits in 95 of 100 at the same perplexity, and
 * products of single rows are 1.6 to 1.9 times as fast; for 8-bit weights there is no f32 kernel: they are unpacked at
 * every call, 10 times as slow (docs/LOG.md, 2026-11-28).
 */
const ACCURACY_LEVEL = 4;

interface MatMulNBitsAttrs {
  readonly K: number;
  readonly N: number;
  readonly bits: 4 | 8;
  /** Weights that share a scale, along K. */
  readonly blockSize: number;
}

/**
 * x·Wᵀ for a block-quantised weight: x f32 [.., K], codes u8 [N, blocks, blockSize·bits/8], scales f32 [N, blocks].
 * Symmetric: the zero point is 2^(bits-1). Activations are rounded inside the kernel, see {@link ACCURACY_LEVEL}.
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
      { K, N, bits, block_size: blockSize, accuracy_level: ACCURACY_LEVEL },
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

/**
 * x·Wᵀ for a block-quantised weight with offsets f32 [N, blocks], which are added to every weight of their block:
 * {@link matmulNBits}, and the sums of x over its blocks times the offsets, in f32. The operator's own zero points
 * would be an approximation as u8; as floats it unpacks the weight at every call, and refuses them at 8 bits. Throws a
 * ShapeError when K is not whole blocks.
 */
export function matmulOffsetBlocks(
  x: Tensor,
  codes: Tensor,
  scales: Tensor,
  offsets: Tensor,
  attrs: MatMulNBitsAttrs,
): Tensor {
  const blocks = attrs.K / attrs.blockSize;
  if (!Number.isInteger(blocks) || `${offsets.shape}` !== `${[attrs.N, blocks]}`)
    throw new ShapeError(
      `matmulOffsetBlocks: offsets must be [${attrs.N}, ${blocks}] for K ${attrs.K} in whole blocks, found [${offsets.shape}]`,
    );
  const byBlock = reshape(x, [...x.shape.slice(0, -1), blocks, attrs.blockSize]);
  const sums = sum(byBlock, { axes: [-1] });
  return add(matmulNBits(x, codes, scales, attrs), matmul(sums, offsets, { transB: true }));
}

/** Codes of activations are u8 around this, which stands for 0. */
const ZERO_POINT = 128;
const LARGEST_CODE = 127;

/**
 * x·W for a weight of 8 bits with one scale per output: x f32 [.., K], codes i8 [K, N], scales f32 [N]. Each row of x
 * is rounded to 8 bits by its own largest magnitude; products and sums are exact integers. A NaN in x becomes a number.
 * On x86 without VNNI the kernels' sums of pairs saturate: see infer/check-int8.ts.
 */
export const matmulInt8: Op<[x: Tensor, codes: Tensor, scales: Tensor]> = defineOp({
  name: "matmul_int8",
  infer([x, codes, scales]) {
    const [K, N] = codes.shape;
    const types = `${x.dtype} ${codes.dtype} ${scales.dtype}`;
    const fits =
      codes.rank === 2 && types === "f32 i8 f32" && x.shape[x.rank - 1] === K && `${scales.shape}` === `${N}`;
    if (!fits)
      throw new ShapeError(
        `matmul_int8: x [.., K], codes i8 [K, N] and scales [N] are expected, found ${x}, ${codes} and ${scales}`,
      );
    return { dtype: "f32", shape: [...x.shape.slice(0, -1), N!] };
  },
  vjp: { notDifferentiable: "quantised weights are for inference" },
  lower(g, [x, codes, scales]) {
    const scalar = (v: number) => g.constant(f32([], [v]));
    const zero = g.constant(hostTensor("u8", [], Uint8Array.of(ZERO_POINT)));
    const last = g.constant(i64([1], [-1]));
    const magnitudes = g.node("ReduceMax", [g.node("Abs", [x!]), last], { keepdims: 1 });
    // Of no rows the kernel gives the shape that it was given: an expert may have no tokens.
    const range = [g.constant(i64([1], [0])), g.constant(i64([1], [1])), last];
    const largest = g.node("Slice", [magnitudes, ...range]);
    // A row of zeros has no scale of its own.
    const rowScale = g.node("Max", [g.node("Mul", [largest, scalar(1 / LARGEST_CODE)]), scalar(1e-30)]);
    const rounded = g.node("QuantizeLinear", [g.node("Div", [x!, rowScale]), scalar(1), zero]);
    const inputs = [rounded, codes!, scalar(1), scales!, zero];
    return g.node("Mul", [g.node("MatMulIntegerToFloat", inputs, {}, "com.microsoft"), rowScale]);
  },
  cases(rng) {
    const [K, N] = [draw.size(rng), draw.size(rng)];
    const codes = hostTensor(
      "i8",
      [K, N],
      Int8Array.from({ length: K * N }, () => rng.int(255) - 127),
    );
    return [[K], [draw.size(rng), K], [draw.size(rng), draw.size(rng), K]].map((shape) => ({
      x: [shape, codes, [N]],
      attrs: {},
    }));
  },
});
