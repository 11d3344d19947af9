import { Param, paramTensor, type Tensor } from "../graph/tensor.ts";
import { add, matmulInt8, matmulNBits, matmulOffsetBlocks } from "../ops/index.ts";
import { Linear, value } from "./layers.ts";
import { Module, transform } from "./module.ts";

/** Bits of a quantised weight and how many weights along the input share a scale. */
export interface QuantizationSpec {
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** Whether every block has a number that is added to its weights; default false. */
  readonly offsets?: boolean;
}

/** A linear layer whose weight is block-quantised, symmetric or with offsets; it keeps the keys of the layer it stands for. */
export class QuantizedLinear extends Module {
  readonly weight: QuantizedWeight;
  readonly bias: Param | undefined;

  constructor(
    readonly linear: Linear,
    readonly spec: QuantizationSpec,
  ) {
    super();
    this.weight = new QuantizedWeight(linear.outFeatures, linear.inFeatures, spec);
    this.bias = linear.bias;
    // Not part of the tree: its weight is replaced, its bias is a field of this module already.
    Object.defineProperty(this, "linear", { enumerable: false });
  }

  get inFeatures(): number {
    return this.linear.inFeatures;
  }

  get outFeatures(): number {
    return this.linear.outFeatures;
  }

  forward(x: Tensor): Tensor {
    const { inFeatures: K, outFeatures: N } = this;
    const { bits, blockSize } = this.spec;
    const [codes, scales] = [paramTensor(this.weight.codes), paramTensor(this.weight.scales)];
    const offsets = this.weight.offsets && paramTensor(this.weight.offsets);
    const attrs = { K, N, bits, blockSize };
    const y = offsets
      ? matmulOffsetBlocks(x, codes, scales, offsets, attrs)
      : matmulNBits(x, codes, scales, attrs);
    return this.bias ? add(y, value(this.bias)) : y;
  }

  withOutputs(outFeatures: number): QuantizedLinear {
    return new QuantizedLinear(this.linear.withOutputs(outFeatures), this.spec);
  }
}

/** Codes u8 [N, blocks, blockSize·bits/8] and scales f32 [N, blocks], as MatMulNBits reads them; offsets as scales. */
class QuantizedWeight extends Module {
  readonly codes: Param;
  readonly scales: Param;
  readonly offsets: Param | undefined;

  constructor(N: number, K: number, { bits, blockSize, offsets }: QuantizationSpec) {
    super();
    const blocks = Math.ceil(K / blockSize);
    this.codes = new Param([N, blocks, (blockSize * bits) / 8], { kind: "zeros" }, "u8");
    this.scales = new Param([N, blocks], { kind: "zeros" });
    this.offsets = offsets ? new Param([N, blocks], { kind: "zeros" }) : undefined;
  }
}

/** A linear layer of 8-bit weights, one scale an output, times 8-bit activations, one scale a row. */
export class Int8Linear extends Module {
  readonly weight: Int8Weight;
  readonly bias: Param | undefined;
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(linear: Linear) {
    super();
    this.inFeatures = linear.inFeatures;
    this.outFeatures = linear.outFeatures;
    this.weight = new Int8Weight(this.outFeatures, this.inFeatures);
    this.bias = linear.bias;
  }

  forward(x: Tensor): Tensor {
    const y = matmulInt8(x, paramTensor(this.weight.codes), paramTensor(this.weight.scales));
    return this.bias ? add(y, value(this.bias)) : y;
  }

  withOutputs(outFeatures: number): Int8Linear {
    const bias = this.bias !== undefined;
    return new Int8Linear(new Linear(this.inFeatures, outFeatures, { bias }));
  }
}

/** Codes i8 [K, N] and scales f32 [N]. */
class Int8Weight extends Module {
  readonly codes: Param;
  readonly scales: Param;

  constructor(N: number, K: number) {
    super();
    this.codes = new Param([K, N], { kind: "zeros" }, "i8");
    this.scales = new Param([N], { kind: "zeros" });
  }
}

/** Replaces the linear layers that `select` accepts by what `make` makes of them. */
export function replaceLinears(
  root: Module,
  make: (linear: Linear, path: string) => Module,
  select: (path: string, linear: Linear) => boolean = () => true,
): void {
  transform(root, (module, path) =>
    module instanceof Linear && select(path, module) ? make(module, path) : undefined,
  );
}
