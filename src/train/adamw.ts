import type { Param, Tensor } from "../graph/tensor.ts";
import { scalar } from "../graph/tensor.ts";
import { add, div, minimum, mul, sqrt, square, sub, sum } from "../ops/index.ts";

/** Hyper-parameters of AdamW (arXiv:1711.05101, decoupled weight decay) that do not change during a run. */
export interface AdamWOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Gradients are scaled down to this global norm. */
  readonly maxGradNorm: number;
}

/** The paper's stage 1 (arXiv:2312.14238, appendix). Decay is of tensors of two dimensions or more. */
export const STAGE1_ADAMW = {
  betas: [0.9, 0.95],
  epsilon: 1e-8,
  maxGradNorm: 1,
  weightDecay: 0.1,
} as const satisfies AdamWOptions & { weightDecay: number };

/** Values that change at every step, as scalars of the graph. */
export interface StepScalars {
  /** 1 − β₁ᵗ and 1 − β₂ᵗ for step t = 1, 2, … */
  readonly correction1: Tensor;
  readonly correction2: Tensor;
}

export interface ParamState {
  readonly param: Param;
  readonly value: Tensor;
  /** Running means of the gradient and its square. */
  readonly m: Tensor;
  readonly v: Tensor;
  readonly gradient: Tensor;
  /** Learning rate, a scalar tensor. */
  readonly rate: Tensor;
  readonly weightDecay: number;
}

export interface UpdatedState {
  readonly value: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
}

/** Euclidean norm of all gradients together. */
export const globalNorm = (gradients: readonly Tensor[]): Tensor =>
  sqrt(gradients.map((g) => sum(square(g))).reduce((a, b) => add(a, b)));

/** One AdamW update of all parameters as graph nodes; scalars are folded so that each parameter takes few passes. */
export function adamw(
  states: readonly ParamState[],
  scalars: StepScalars,
  { betas: [beta1, beta2], epsilon, maxGradNorm }: AdamWOptions,
): { updated: UpdatedState[]; gradNorm: Tensor } {
  const gradNorm = globalNorm(states.map((s) => s.gradient));
  // torch.nn.utils.clip_grad_norm_: the small term keeps a zero norm harmless.
  const clip = minimum(div(scalar(maxGradNorm), add(gradNorm, 1e-6)), scalar(1));
  const gain1 = mul(clip, 1 - beta1);
  const gain2 = mul(square(clip), 1 - beta2);
  const root2 = sqrt(scalars.correction2);
  const eps = mul(root2, epsilon);
  const rateFactor = div(root2, scalars.correction1);
  const updated = states.map(({ value, m, v, gradient, rate, weightDecay }) => {
    const newM = add(mul(m, beta1), mul(gradient, gain1));
    const newV = add(mul(v, beta2), mul(square(gradient), gain2));
    const step = mul(div(newM, add(sqrt(newV), eps)), mul(rate, rateFactor));
    const decayed = weightDecay === 0 ? value : mul(value, sub(1, mul(rate, weightDecay)));
    return { value: sub(decayed, step), m: newM, v: newV };
  });
  return { updated, gradNorm };
}
