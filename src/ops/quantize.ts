import { f32, hostTensor, i64 } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { defineOp, type Emitter, type Op, type ValueName } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";

/** Weights by lines of their own scale: x over the scale of its line, and the scales. A line of zeros has scale 0. */
function scaled(
  g: Emitter,
  x: ValueName,
  largest: ValueName,
  code: number,
): { readonly ratios: ValueName; readonly scales: ValueName } {
  const scalar = (v: number) => g.constant(f32([], [v]));
  // A line that holds NaN or infinity, which maxima may step over, makes its scale NaN.
  const poison = g.node("Mul", [lineReduction(g, "ReduceSum", x), scalar(0)]);
  const scales = g.node("Add", [g.node("Mul", [largest, scalar(1 / code)]), poison]);
  const divisors = g.node("Where", [g.node("Equal", [scales, scalar(0)]), scalar(1), scales]);
  const ratios = g.node("Div", [x, divisors]);
  return { ratios, scales: g.node("Squeeze", [scales, g.constant(i64([1], [1]))]) };
}

const lineReduction = (g: Emitter, opType: string, x: ValueName): ValueName =>
  g.node(opType, [x, g.constant(i64([1], [1]))], { keepdims: 1 });

/**
 * Quantises blocks of weights for `matmulNBits`, rounding to nearest: x f32 [R, block] -> codes u8 [R, block·bits/8] and scales
 * f32 [R]. The weight of largest magnitude is exact: it takes code 0, and the scale its sign; 0 has code 2^(bits-1). Four-bit
 * codes are two to a byte, the first in the low half. The scale of a block that is not finite is NaN.
 */
export const quantizeBlocks: Op<[x: Tensor], { bits: 4 | 8 }> = defineOp({
  name: "quantize_blocks",
  infer([x], { bits }) {
    const [R, block] = x.shape;
    if (x.rank !== 2 || x.dtype !== "f32" || typeof block !== "number" || block % 2 !== 0)
      throw new ShapeError(`quantize_blocks: x f32 [R, an even block] is expected, found ${x}`);
    return [
      { dtype: "u8", shape: [R!, (block * bits) / 8] },
      { dtype: "f32", shape: [R!] },
    ];
  },
  vjp: { notDifferentiable: "its outputs are codes" },
  lower(g, [x], { bits }, node) {
    const scalar = (v: number) => g.constant(f32([], [v]));
    const [high, low] = ["ReduceMax", "ReduceMin"].map((type) => lineReduction(g, type, x!)) as [
      ValueName,
      ValueName,
    ];
    const isHigh = g.node("Greater", [high, g.node("Neg", [low])]);
    const zero = 2 ** (bits - 1);
    const { ratios, scales } = scaled(g, x!, g.node("Where", [isHigh, high, low]), -zero);
    if (bits === 8) {
      const middle = g.constant(hostTensor("u8", [], Uint8Array.of(zero)));
      return [g.node("QuantizeLinear", [ratios, scalar(1), middle]), scales];
    }
    const levels = g.node("Clip", [g.node("Round", [ratios]), scalar(-zero), scalar(zero - 1)]);
    // A product with ones and sixteens puts two codes into a byte; all of it is exact.
    const block = Number(node.inputs[0]!.shape[1]);
    const pairs = new Float32Array((block * block) / 2);
    for (let i = 0; i < block; i++) pairs[(i * block) / 2 + (i >> 1)] = i % 2 ? 16 : 1;
    const bytes = g.node("MatMul", [levels, g.constant(f32([block, block / 2], pairs))]);
    return [g.node("Cast", [g.node("Add", [bytes, scalar(zero * 17)])], { to: U8 }), scales];
  },
  cases(rng) {
    const x = [draw.size(rng), [16, 32][rng.int(2)]!];
    return ([4, 8] as const).map((bits) => ({ x: [x], attrs: { bits } }));
  },
});

/** ONNX's number of u8. */
const U8 = 2;

/**
 * Quantises a linear layer's weight for `matmulInt8`, one scale for each output: x f32 [N, K] -> codes i8 [K, N], -127 to 127,
 * and scales f32 [N]. The scale of an output whose weights are not finite is NaN.
 */
export const quantizeChannels: Op<[x: Tensor]> = defineOp({
  name: "quantize_channels",
  infer([x]) {
    const [N, K] = x.shape;
    if (x.rank !== 2 || x.dtype !== "f32")
      throw new ShapeError(`quantize_channels: x f32 [N, K] is expected, found ${x}`);
    return [
      { dtype: "i8", shape: [K!, N!] },
      { dtype: "f32", shape: [N!] },
    ];
  },
  vjp: { notDifferentiable: "its outputs are codes" },
  lower(g, [x]) {
    const largest = lineReduction(g, "ReduceMax", g.node("Abs", [x!]));
    const { ratios, scales } = scaled(g, x!, largest, 127);
    const inputs = [g.constant(f32([], [1])), g.constant(hostTensor("i8", [], Int8Array.of(0)))];
    const codes = g.node("QuantizeLinear", [ratios, ...inputs]);
    return [g.node("Transpose", [codes], { perm: [1, 0] }), scales];
  },
  cases: (rng) => [{ x: [[draw.size(rng), draw.size(rng)]], attrs: {} }],
});
