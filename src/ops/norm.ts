import { ShapeError } from "../core/errors.ts";
import { defineOp, type Op, sameAs, type TensorType } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import * as draw from "./draw.ts";
import { mul, sub } from "./elementwise.ts";
import { mean, sum } from "./reduce.ts";

interface NormAttrs {
  /** Added to the variance (or mean square) inside the root. */
  readonly epsilon: number;
}

const statistics = (x: Tensor): TensorType => ({ dtype: "f32", shape: [...x.shape.slice(0, -1), 1] });

function checkVectors(name: string, x: Tensor, ...vectors: Tensor[]): void {
  const width = x.shape[x.rank - 1];
  for (const v of vectors)
    if (v.rank !== 1 || v.shape[0] !== width)
      throw new ShapeError(`${name}: weight and bias must be [${width}] for ${x}, found [${v.shape}]`);
}

const lastMean = (x: Tensor): Tensor => mean(x, { axes: [-1], keepdims: true });
const overRows = (x: Tensor): Tensor => sum(x, { axes: x.shape.slice(0, -1).map((_, i) => i) });

/** Layer normalisation over the last axis: x [.., D], weight [D], bias [D]. Further outputs: mean, 1/deviation. */
export const layerNorm: Op<[x: Tensor, weight: Tensor, bias: Tensor], NormAttrs> = defineOp({
  name: "layer_norm",
  infer([x, weight, bias]) {
    checkVectors("layer_norm", x, weight, bias);
    return [sameAs(x), statistics(x), statistics(x)];
  },
  vjp({ dy, x: [x, weight], ys: [, mu, rstd] }) {
    const normed = mul(sub(x, mu!), rstd!);
    const g = mul(dy, weight);
    const dx = mul(rstd!, sub(sub(g, lastMean(g)), mul(normed, lastMean(mul(g, normed)))));
    return [dx, overRows(mul(dy, normed)), overRows(dy)];
  },
  lower: (g, x, { epsilon }, node) => {
    const outputs = node.outputs.slice(1).some((t) => g.isUsed(t)) ? 3 : 1;
    return g.nodes(outputs, "LayerNormalization", x, { axis: -1, epsilon: { float: epsilon } });
  },
  cases(rng) {
    const shape = [...draw.shape(rng, 1, 3), 3 + rng.int(5)];
    const width = [shape[shape.length - 1]!];
    return [{ x: [shape, width, width], attrs: { epsilon: 1e-5 } }];
  },
});

/** Root-mean-square normalisation over the last axis: x [.., D], weight [D]. Further output: 1/root mean square. */
export const rmsNorm: Op<[x: Tensor, weight: Tensor], NormAttrs> = defineOp({
  name: "rms_norm",
  infer([x, weight]) {
    checkVectors("rms_norm", x, weight);
    return [sameAs(x), statistics(x)];
  },
  vjp({ dy, x: [x, weight], ys: [, rstd] }) {
    const normed = mul(x, rstd!);
    const g = mul(dy, weight);
    return [mul(rstd!, sub(g, mul(normed, lastMean(mul(g, normed))))), overRows(mul(dy, normed))];
  },
  lower: (g, x, { epsilon }, node) => {
    const outputs = g.isUsed(node.outputs[1]!) ? 2 : 1;
    return g.nodes(outputs, "SimplifiedLayerNormalization", x, { axis: -1, epsilon: { float: epsilon } });
  },
  cases(rng) {
    const shape = [...draw.shape(rng, 1, 3), 3 + rng.int(5)];
    return [{ x: [shape, [shape[shape.length - 1]!]], attrs: { epsilon: 1e-6 } }];
  },
});
