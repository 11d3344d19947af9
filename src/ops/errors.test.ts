import { expect, test } from "vitest";
import { ShapeError } from "../core/errors.ts";
import type { Shape } from "../core/shape.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import {
  add,
  argmax,
  attention,
  castOp,
  concat,
  equal,
  exp,
  expand,
  gather,
  gelu,
  layerNorm,
  linear,
  logSoftmax,
  matmul,
  matmulNBits,
  max,
  mean,
  pad,
  repeatHeads,
  reshape,
  rmsNorm,
  rotary,
  scatterAdd,
  silu,
  slice,
  softmax,
  split,
  sum,
  sumTo,
  takeAlong,
  transpose,
  where,
} from "./index.ts";

const f = (...shape: Shape) => input("f", "f32", shape);
const ids = (...shape: Shape) => input("ids", "i64", shape);
const no = { epsilon: 1e-6 };
const axis = (a: number) => ({ axis: a });

/** Every way in which an op refuses its inputs. */
test.each<[string, () => Tensor, string]>([
  ["softmax", () => softmax(f(2), axis(1)), "softmax: axis 1 does not exist in a tensor of rank 1"],
  ["log_softmax", () => logSoftmax(f(2), axis(-2)), "log_softmax: axis -2"],
  ["gelu", () => gelu(ids(2)), "gelu: f32 is expected, i64 was given"],
  ["silu", () => silu(ids(2)), "silu: f32 is expected, i64 was given"],
  ["a function of floats", () => exp(ids(2)), "exp: a float tensor is expected, i64 was given"],
  ["arithmetic of two dtypes", () => add(f(2), ids(2)), "add: dtypes differ, f32 and i64: cast one"],
  ["arithmetic of two shapes", () => add(f(2), f(3)), "add: [2] and [3] do not broadcast (2 against 3)"],
  ["symbols that differ", () => add(f("B"), f("L")), "add: [B] and [L] do not broadcast (B against L)"],
  ["comparison of two dtypes", () => equal(f(2), ids(2)), "equal: dtypes differ"],
  ["where's condition", () => where(f(2), f(2), f(2)), "where: the condition must be bool, f32 was given"],
  ["where's values", () => where(castOp(f(2), { dtype: "bool" }), f(2), ids(2)), "where: dtypes differ"],
  ["where's shapes", () => where(castOp(f(3), { dtype: "bool" }), f(2), f(2)), "where: [3] and [2] do not"],
  ["a matrix of rank 1", () => matmul(f(2), f(2, 3)), "matmul: matrices of one dtype are expected"],
  ["a matrix of integers", () => matmul(f(3, 2), ids(2, 3)), "matmul: matrices of one dtype are expected"],
  ["inner sizes", () => matmul(f(2, 3), f(2, 3)), "matmul: inner sizes differ, 3 of [2, 3] and 2 of [2, 3]"],
  [
    "inner sizes, transposed",
    () => matmul(f(2, 3), f(3, 2), { transB: true }),
    "matmul: inner sizes differ, 3",
  ],
  ["batches", () => matmul(f(2, 3, 4), f(5, 4, 3)), "matmul: [2] and [5] do not broadcast"],
  ["linear", () => linear(f("B", 4), f(2, 5)), "matmul: inner sizes differ, 4"],
  [
    "matmul_nbits",
    () =>
      matmulNBits(f(2, 32), input("c", "u8", [3, 1, 16]), f(3, 1), { K: 32, N: 3, bits: 8, blockSize: 32 }),
    "matmul_nbits: K, codes and scales must be 32 [3,1,32] [3,1], found 32 [3,1,16] [3,1]",
  ],
  ["layer_norm", () => layerNorm(f(2, 4), f(4), f(3), no), "layer_norm: weight and bias must be [4]"],
  ["rms_norm", () => rmsNorm(f(2, 4), f(1, 4), no), "rms_norm: weight and bias must be [4]"],
  ["sum", () => sum(f(2), { axes: [1] }), "sum: axis 1"],
  ["max", () => max(f(2), { axes: [-2] }), "max: axis -2"],
  ["mean", () => mean(f(2), { axes: [1] }), "mean: axis 1"],
  ["argmax", () => argmax(f(2), axis(1)), "argmax: axis 1"],
  ["sumTo", () => sumTo(f(2), [2, 2]), "sumTo: a tensor of rank 1 cannot be summed to rank 2"],
  ["reshape", () => reshape(f(2, 3), [4]), "reshape: [2, 3] and [4] differ in size"],
  ["reshape of symbols", () => reshape(f("B", 2), ["L", 2]), "reshape: [B, 2] and [L, 2] differ in size"],
  [
    "transpose",
    () => transpose(f(2, 3), [0, 0]),
    "transpose: [0,0] is not a permutation of the axes of [2, 3]",
  ],
  ["transpose of another rank", () => transpose(f(2, 3), [1]), "transpose: [1] is not a permutation"],
  ["transpose past the rank", () => transpose(f(2, 3), [2, 0]), "transpose: [2,0] is not a permutation"],
  ["expand", () => expand(f(2), [3]), "expand: [2] and [3] do not broadcast"],
  ["expand to less", () => expand(f(2, 3), [1, 3]), "expand: [2, 3] does not broadcast to [1, 3]"],
  [
    "slice past the end",
    () => slice(f(3), { axis: 0, start: 1, end: 4 }),
    "slice: 1..4 does not lie inside axis 0 of [3]",
  ],
  ["slice backwards", () => slice(f(3), { axis: 0, start: 2, end: 1 }), "slice: 2..1 does not lie inside"],
  [
    "slice before the start",
    () => slice(f("B"), { axis: 0, start: -1, end: 1 }),
    "slice: -1..1 does not lie inside",
  ],
  ["slice's axis", () => slice(f(3), { axis: 1, start: 0, end: 1 }), "slice: axis 1"],
  ["pad's axis", () => pad(f(3), { axis: 1, before: 0, after: 1 }), "pad: axis 1"],
  ["concat of nothing", () => concat(axis(0)), "concat: at least one tensor is needed"],
  [
    "concat of two ranks",
    () => concat(f(2), f(2, 2), axis(0)),
    "does not fit input: f32 [2] except along axis 0",
  ],
  ["concat of two dtypes", () => concat(f(2), ids(2), axis(0)), "concat: input: i64 [2] does not fit"],
  ["concat of two widths", () => concat(f(2, 3), f(2, 4), axis(0)), "concat: input: f32 [2, 4] does not fit"],
  [
    "split",
    () => split(f(2, 5), { axis: 1, sizes: [2, 2] }),
    "split: sizes [2,2] add up to 4, axis 1 of [2, 5] has 5",
  ],
  [
    "split of a symbol",
    () => split(f("B"), { axis: 0, sizes: [2] }),
    "split: sizes [2] add up to 2, axis 0 of [B] has B",
  ],
  ["gather", () => gather(f(3, 2), f(2)), "gather: indices must be i64, found f32"],
  ["take_along's index", () => takeAlong(f(3, 2), f(3, 1), axis(1)), "take_along: indices must be i64"],
  [
    "take_along's shape",
    () => takeAlong(f(3, 2), ids(2, 1), axis(1)),
    "take_along: index [2, 1] must equal [3, 2] except on axis 1",
  ],
  ["take_along's rank", () => takeAlong(f(3, 2), ids(3), axis(1)), "take_along: index [3] must equal"],
  [
    "scatter_add's index",
    () => scatterAdd(f(2), f(2), { axis: 0, shape: [3] }),
    "scatter_add: indices must be i64",
  ],
  [
    "scatter_add's shapes",
    () => scatterAdd(ids(2), f(3), { axis: 0, shape: [3] }),
    "scatter_add: index [2] and updates [3] differ",
  ],
  ["scatter_add's axis", () => scatterAdd(ids(2), f(2), { axis: 1, shape: [3] }), "scatter_add: axis 1"],
  [
    "heads that do not divide",
    () => attention(f(1, 4, 2, 8), f(1, 3, 2, 8), f(1, 3, 2, 8)),
    "attention: heads of q",
  ],
  [
    "heads of two widths",
    () => attention(f(1, 4, 2, 8), f(1, 2, 2, 6), f(1, 2, 2, 6)),
    "attention: heads of q",
  ],
  [
    "heads of unknown width",
    () => attention(f(1, 4, 2, "d"), f(1, 4, 2, "d"), f(1, 4, 2, 8)),
    "attention: heads of q",
  ],
  [
    "rotary of an odd width",
    () => rotary(f(1, 2, 3, 5), f(3, 2), f(3, 2)),
    "rotary: [B, H, L, d] with an even d is expected",
  ],
  [
    "rotary of another rank",
    () => rotary(f(2, 3, 4), f(3, 2), f(3, 2)),
    "rotary: [B, H, L, d] with an even d is expected",
  ],
])("%s", (_, build, message) => {
  expect(build).toThrow(ShapeError);
  expect(build).toThrow(message);
});

test("what leaves a tensor as it is adds nothing to the graph", () => {
  const x = f(2, 3);
  expect(reshape(x, [2, 3])).toBe(x);
  expect(transpose(x, [0, 1])).toBe(x);
  expect(expand(x, [2, 3])).toBe(x);
  expect(sumTo(x, [2, 3])).toBe(x);
  const heads = f(1, 2, 3, 4);
  expect(repeatHeads(heads, 1)).toBe(heads);
});
