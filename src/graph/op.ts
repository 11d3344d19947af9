import type { HostTensor } from "../core/array.ts";
import type { Device } from "../core/devices.ts";
import type { DType } from "../core/dtype.ts";
import type { Rng } from "../core/rng.ts";
import type { Shape } from "../core/shape.ts";
import { type Node, Tensor } from "./tensor.ts";

/** dtype and shape of one output. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** What a gradient rule is given. */
export interface VjpContext<I extends readonly Tensor[], A> {
  /** Gradient of the first output (most ops have one). */
  readonly dy: Tensor;
  /** Gradients of all outputs; undefined where none flows. */
  readonly dys: readonly (Tensor | undefined)[];
  readonly x: I;
  /** The first output. */
  readonly y: Tensor;
  readonly ys: readonly Tensor[];
  readonly attrs: A;
}

/** A name of a value in the ONNX graph that is being written; "" omits an optional input. */
export type ValueName = string;

export type AttributeValue = number | string | readonly number[] | { readonly float: number };

/** Writes ONNX; implemented in onnx/. Numbers that are not integers become float attributes, `{ float }` forces one. */
export interface Emitter {
  /** Where the graph is to run. */
  readonly device: Device;
  node(
    opType: string,
    inputs: readonly ValueName[],
    attrs?: Readonly<Record<string, AttributeValue>>,
    domain?: "com.microsoft",
  ): ValueName;
  nodes(
    outputs: number,
    opType: string,
    inputs: readonly ValueName[],
    attrs?: Readonly<Record<string, AttributeValue>>,
    domain?: "com.microsoft",
  ): ValueName[];
  constant(value: HostTensor): ValueName;
  /** The shape as a 1-D i64 value; symbolic sizes are read from the graph's inputs at run time. */
  shape(dims: Shape): ValueName;
  /** Whether anything reads this tensor: an op need not write an optional output that nobody reads. */
  isUsed(t: Tensor): boolean;
}

/** One test case of an op: inputs (a shape to be filled at random, or values) and attributes. */
export interface OpCase<A> {
  readonly x: readonly (readonly number[] | HostTensor)[];
  readonly attrs: A;
  /** Range of the random f32 inputs, default [-1, 1]: e.g. [0.5, 2] for log. */
  readonly range?: readonly [number, number];
}

export interface OpDef<I extends readonly Tensor[], A> {
  readonly name: string;
  /** Types of the outputs; throws a ShapeError for inputs that do not fit. */
  infer(x: I, attrs: A): TensorType | TensorType[];
  /**
   * Gradients of the inputs (undefined where none flows). A rule may return a gradient that is broadcast against
   * its input: the engine sums it back to the input's shape. Or the reason why there is no gradient.
   */
  readonly vjp:
    | ((context: VjpContext<I, A>) => readonly (Tensor | undefined)[])
    | { readonly notDifferentiable: string };
  lower(g: Emitter, x: readonly ValueName[], attrs: A, node: Node): ValueName | ValueName[];
  /** Cases with shapes drawn at random: tested forward, backward and for shape inference by test/ops.test.ts. */
  cases(rng: Rng): readonly OpCase<A>[];
}

type Arguments<I extends readonly Tensor[], A> = keyof A extends never ? [...I] : [...I, A];

/** An op: called with its inputs and attributes it gives its (first) output; `outputs` gives all. */
export interface Op<I extends readonly Tensor[], A = Record<never, never>> {
  (...args: Arguments<I, A>): Tensor;
  readonly outputs: (...args: Arguments<I, A>) => readonly Tensor[];
  readonly def: OpDef<I, A>;
}

/** An op whose inputs and attributes are erased, as nodes hold it. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where ops are erased to one type
export type AnyOp = Op<any, any>;

/** Declares an op. See the ops/ folder for examples; a new op is tested by existing. */
export function defineOp<I extends readonly Tensor[], A = Record<never, never>>(def: OpDef<I, A>): Op<I, A> {
  const outputs = (...args: readonly unknown[]): readonly Tensor[] => {
    const last = args[args.length - 1];
    const hasAttrs = args.length > 0 && !(last instanceof Tensor);
    const attrs = (hasAttrs ? last : {}) as A;
    const inputs = (hasAttrs ? args.slice(0, -1) : args) as unknown as I;
    return applyOp(op as unknown as AnyOp, inputs, attrs as Readonly<Record<string, unknown>>);
  };
  const op = Object.assign((...args: readonly unknown[]) => outputs(...args)[0]!, {
    outputs,
    def,
  }) as unknown as Op<I, A>;
  return op;
}

/** Applies an op to inputs and attributes: infers the outputs' types and makes the node. */
export function applyOp(
  op: AnyOp,
  inputs: readonly Tensor[],
  attrs: Readonly<Record<string, unknown>>,
): readonly Tensor[] {
  const types = op.def.infer(inputs, attrs);
  const list: TensorType[] = Array.isArray(types) ? types : [types];
  const outputs: Tensor[] = [];
  const node: Node = { op, inputs, attrs, outputs, segment: undefined };
  list.forEach((type, index) => {
    outputs.push(new Tensor(type.dtype, type.shape, { kind: "node", node, index }));
  });
  return outputs;
}

/** The type of a tensor, as the result of `infer`. */
export const sameAs = (t: Tensor): TensorType => ({ dtype: t.dtype, shape: t.shape });
