import { i64 } from "../core/array.ts";
import { defineOp, type Op, sameAs } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";

/**
 * x, but not before `after` is known. Written as x + 0·(first element of after), because the runtime merges equal
 * subexpressions and would otherwise undo every recomputation. Both f32.
 */
export const depend: Op<[x: Tensor, after: Tensor]> = defineOp({
  name: "depend",
  infer: ([x]) => sameAs(x),
  vjp: ({ dy }) => [dy, undefined],
  lower(g, [x, after]) {
    const flat = g.node("Reshape", [after!, g.constant(i64([1], [-1]))]);
    const first = g.node("Slice", [flat, g.constant(i64([1], [0])), g.constant(i64([1], [1]))]);
    const zero = g.node("Mul", [first, g.constant({ dtype: "f32", shape: [1], data: Float32Array.of(0) })]);
    // A scalar x must stay a scalar.
    return g.node("Add", [x!, g.node("Squeeze", [zero])]);
  },
  cases: () => [
    { x: [[2, 3], [4]], attrs: {} },
    { x: [[], []], attrs: {} },
  ],
});
