import { Param, paramTensor, type Tensor } from "../graph/tensor.ts";
import { cast, gather, layerNorm, linear, mul, rmsNorm } from "../ops/index.ts";
import { Module } from "./module.ts";

/** A parameter's values in f32, whatever it is stored as. */
export const value = (param: Param): Tensor => cast(paramTensor(param), "f32");

const ones = { kind: "constant", value: 1 } as const;
const zeros = { kind: "zeros" } as const;

/** x·Wᵀ + b: [.., in] -> [.., out]; weight [out, in]. */
export class Linear extends Module {
  readonly weight: Param;
  readonly bias: Param | undefined;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: {
      readonly bias?: boolean;
      readonly std?: number;
      /** Another module's parameter of the same shape: tied weights. */
      readonly weight?: Param;
    } = {},
  ) {
    super();
    const { weight, std = 0.02 } = options;
    this.weight = weight ?? new Param([outFeatures, inFeatures], { kind: "trunc_normal", std });
    this.bias = options.bias === false ? undefined : new Param([outFeatures], zeros);
  }

  forward(x: Tensor): Tensor {
    return linear(x, value(this.weight), this.bias && value(this.bias));
  }

  /** A layer like this one with another number of outputs. */
  withOutputs(outFeatures: number): Linear {
    return new Linear(this.inFeatures, outFeatures, { bias: this.bias !== undefined });
  }
}

/** What stands for a linear layer after a change of precision. */
export interface LinearLike {
  forward(x: Tensor): Tensor;
}

/** Rows of a table: ids i64 -> [.., width]; weight [vocabulary, width]. */
export class Embedding extends Module {
  readonly weight: Param;

  constructor(vocabulary: number, width: number) {
    super();
    this.weight = new Param([vocabulary, width], { kind: "trunc_normal", std: 0.02 });
  }

  forward(ids: Tensor): Tensor {
    return cast(gather(paramTensor(this.weight), ids), "f32");
  }
}

/** A normalisation over the last axis. */
export interface Norm extends Module {
  forward(x: Tensor): Tensor;
}

export class RMSNorm extends Module implements Norm {
  readonly weight: Param;

  constructor(
    width: number,
    readonly epsilon: number,
  ) {
    super();
    this.weight = new Param([width], ones);
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, value(this.weight), { epsilon: this.epsilon });
  }
}

export class LayerNorm extends Module implements Norm {
  readonly weight: Param;
  readonly bias: Param;

  constructor(
    width: number,
    readonly epsilon: number,
  ) {
    super();
    this.weight = new Param([width], ones);
    this.bias = new Param([width], zeros);
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, value(this.weight), value(this.bias), { epsilon: this.epsilon });
  }
}

/** Passes its input on; stands where a configuration leaves a layer out. */
export class Identity extends Module implements Norm {
  forward(x: Tensor): Tensor {
    return x;
  }
}

/**
 * Stochastic depth on a residual branch, per sample (timm's DropPath): `keep` [B] holds 0 or 1/(1 − rate), drawn by
 * the caller, because randomness enters a graph as an input. Without it the branch is kept.
 */
export function dropPath(branch: Tensor, keep: Tensor | undefined): Tensor {
  return keep ? mul(branch, keep) : branch;
}
