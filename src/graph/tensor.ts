import { type HostTensor, sizeOf } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { canonicalDim, type Shape, showShape } from "../core/shape.ts";
import type { AnyOp } from "./op.ts";

/** How a parameter starts when a model is trained from scratch. */
export type Init =
  | { readonly kind: "zeros" }
  | { readonly kind: "constant"; readonly value: number }
  /** Normal(0, std), cut at two standard deviations. */
  | { readonly kind: "trunc_normal"; readonly std: number };

/** A named tensor of weights: shape and dtype, no data. Its key is given by the tree of modules that holds it. */
export class Param {
  #key: string | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly init: Init,
    /** How it is stored; graphs compute in f32 and cast at the point of use. */
    public dtype: DType = "f32",
  ) {}

  /** Path in the module tree, which is the published checkpoint key. */
  get key(): string {
    if (this.#key === undefined)
      throw new ShapeError(
        `parameter ${showShape(this.shape)} has no key yet: call parameters(model) before building a graph with it`,
      );
    return this.#key;
  }

  /** Called once by the walk over the module tree. */
  name(key: string): void {
    if (this.#key !== undefined && this.#key !== key)
      throw new ShapeError(`parameter "${this.#key}" cannot also be named "${key}"`);
    this.#key = key;
  }

  get size(): number {
    return sizeOf(this.shape);
  }
}

/** Where a tensor without a node comes from. */
export type Source =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "param"; readonly param: Param }
  | { readonly kind: "constant"; readonly value: HostTensor };

/** One application of an op. */
export interface Node {
  readonly op: AnyOp;
  readonly inputs: readonly Tensor[];
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly outputs: readonly Tensor[];
  /** The block it is recomputed with in the backward pass, if any (see autodiff/checkpoint.ts). */
  segment: Segment | undefined;
}

/** A block whose intermediate values are recomputed in the backward pass instead of being kept. */
export interface Segment {
  readonly name: string;
}

/** A symbolic tensor: what will be computed, with its dtype and shape. Immutable. */
export class Tensor {
  constructor(
    readonly dtype: DType,
    readonly shape: Shape,
    readonly origin: Source | { readonly kind: "node"; readonly node: Node; readonly index: number },
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  /** The node that computes it, or undefined for inputs, parameters and constants. */
  get node(): Node | undefined {
    return this.origin.kind === "node" ? this.origin.node : undefined;
  }

  toString(): string {
    const from = this.origin.kind === "node" ? this.origin.node.op.def.name : this.origin.kind;
    return `${from}: ${this.dtype} ${showShape(this.shape)}`;
  }
}

/** An input of the graph, fed at every run. Sizes may be symbolic: `input("ids", "i64", ["B", "L"])`. */
export function input(name: string, dtype: DType, shape: Shape): Tensor {
  const sizes = shape.map((d) => canonicalDim(`input "${name}"`, d));
  return new Tensor(dtype, sizes, { kind: "input", name });
}

const paramTensors = new WeakMap<Param, Tensor>();

/** The parameter as a tensor of its storage dtype; always the same object, so that gradients accumulate. */
export function paramTensor(param: Param): Tensor {
  let t = paramTensors.get(param);
  if (t?.dtype !== param.dtype) {
    t = new Tensor(param.dtype, param.shape, { kind: "param", param });
    paramTensors.set(param, t);
  }
  return t;
}

/** A constant of the graph. */
export function constant(value: HostTensor): Tensor {
  return new Tensor(value.dtype, value.shape, { kind: "constant", value });
}

/** A scalar constant. */
export function scalar(value: number, dtype: "f32" | "i64" = "f32"): Tensor {
  const data = dtype === "f32" ? Float32Array.of(value) : BigInt64Array.of(BigInt(value));
  return constant({ dtype, shape: [], data } as HostTensor);
}

/** Nodes that the outputs need, every node after those it reads. Iterative: graphs are thousands of nodes deep. */
export function topological(outputs: readonly Tensor[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  const stack: Node[] = outputs.flatMap((t) => t.node ?? []).reverse();
  while (stack.length > 0) {
    const node = stack[stack.length - 1]!;
    const seen = state.get(node);
    if (seen === undefined) {
      state.set(node, "open");
      for (let i = node.inputs.length - 1; i >= 0; i--) {
        const child = node.inputs[i]!.node;
        if (child && !state.has(child)) stack.push(child);
      }
    } else {
      stack.pop();
      if (seen === "open") {
        state.set(node, "done");
        order.push(node);
      }
    }
  }
  return order;
}

/** All inputs, parameters and constants that the outputs need, in order of first use. */
export function leaves(outputs: readonly Tensor[]): Tensor[] {
  const found = new Set<Tensor>();
  for (const t of outputs) if (!t.node) found.add(t);
  for (const node of topological(outputs)) for (const t of node.inputs) if (!t.node) found.add(t);
  return [...found];
}
