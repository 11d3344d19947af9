import { create, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, type NodeProto, NodeProtoSchema, type TensorProto } from "onnx-buf";
import { type HostTensor, i64, rawBytes } from "../core/array.ts";
import type { Device } from "../core/devices.ts";
import { ShapeError } from "../core/errors.ts";
import { type Dim, dimTerms, type Shape } from "../core/shape.ts";
import type { AttributeValue, Emitter, ValueName } from "../graph/op.ts";
import { leaves, type Node, type Param, type Tensor, topological } from "../graph/tensor.ts";
import { attribute, externalTensor, inlineTensor, valueInfo } from "./proto.ts";

/**
 * How ONNX bytes name a weight that the runtime supplies from a WeightSet: an initializer of the main graph with
 * `name` = the weight's key, `data_type` and `dims` = the weight's own, `data_location` = EXTERNAL, no data field,
 * and one `external_data` entry `location` with this value. `offset` and `length` are left out: where the bytes
 * are is the runtime's affair, and differs between machines. No such file is read.
 */
export const EXTERNAL_LOCATION = "weights";

export interface EmitOptions {
  /** Parameters as weights that the session is given (inference) or as inputs of the graph (training state). */
  readonly params?: "weights" | "inputs";
  /** Where the graph is to run, for ops that have another form on a GPU; default: the CPU. */
  readonly device?: Device;
}

export interface EmittedModel {
  /** A serialised ONNX ModelProto. */
  readonly bytes: Uint8Array;
  /** Graph inputs, parameters that are inputs not included. */
  readonly inputs: readonly Tensor[];
  /** The parameters that the graph uses. */
  readonly params: readonly Param[];
}

const OPSET = 23n;
const IR_VERSION = 11n;

/** Writes the graph of the named outputs as an ONNX model. Equal graphs give equal bytes. */
export function emit(outputs: Readonly<Record<string, Tensor>>, options: EmitOptions = {}): EmittedModel {
  const tensors = Object.values(outputs);
  const order = topological(tensors);
  const sources = leaves(tensors);
  const writer = new Writer(order, tensors, options.device ?? "cpu");
  const inputs: Tensor[] = [];
  const params: Param[] = [];
  const external: TensorProto[] = [];
  for (const t of sources) {
    const origin = t.origin;
    if (origin.kind === "input") {
      writer.bind(t, origin.name);
      writer.symbols(t, origin.name);
      inputs.push(t);
    } else if (origin.kind === "param") {
      const { param } = origin;
      writer.bind(t, param.key);
      params.push(param);
      if (options.params !== "inputs")
        external.push(externalTensor(param.key, param.dtype, param.shape, EXTERNAL_LOCATION));
    } else if (origin.kind === "constant") writer.bind(t, writer.constant(origin.value));
  }
  for (const node of order) writer.write(node);
  const nodes = writer.finish(outputs);
  checkNames(inputs, params, Object.keys(outputs));

  const paramInputs = options.params === "inputs" ? params : [];
  const model = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: "internvl",
    opsetImport: [
      { domain: "", version: OPSET },
      { domain: "com.microsoft", version: 1n },
    ],
    graph: {
      name: "internvl",
      node: nodes,
      input: [
        ...inputs.map((t) => valueInfo((t.origin as { name: string }).name, t.dtype, t.shape)),
        ...paramInputs.map((p) => valueInfo(p.key, p.dtype, p.shape)),
      ],
      output: Object.entries(outputs).map(([name, t]) => valueInfo(name, t.dtype, t.shape)),
      initializer: [...writer.constants(), ...external],
    },
  });
  return { bytes: toBinary(ModelProtoSchema, model), inputs, params };
}

/** Inputs, parameters and outputs are values of one graph. */
function checkNames(inputs: readonly Tensor[], params: readonly Param[], outputs: readonly string[]): void {
  const names = [
    ...inputs.map((t) => (t.origin as { name: string }).name),
    ...params.map((p) => p.key),
    ...outputs,
  ];
  const seen = new Set<string>();
  const doubled = new Set(names.filter((name) => seen.size === seen.add(name).size));
  if (doubled.size > 0)
    throw new ShapeError(
      `emit: inputs, parameters and outputs need different names, found twice: ${[...doubled].join(", ")}; make one tensor of an input and use it in all places`,
    );
}

class Writer implements Emitter {
  readonly #values = new Map<Tensor, ValueName>();
  readonly #scopes = new Map<Tensor, string>();
  readonly #used: ReadonlySet<Tensor>;
  readonly #nodes: NodeProto[] = [];
  readonly #names = new Map<string, number>();
  readonly #constants = new Map<string, TensorProto>();
  readonly #symbols = new Map<string, { input: string; axis: number }>();
  readonly #dims = new Map<Dim, ValueName>();
  #scope = "";

  constructor(
    order: readonly Node[],
    outputs: readonly Tensor[],
    readonly device: Device,
  ) {
    this.#used = new Set([...order.flatMap((n) => n.inputs), ...outputs]);
  }

  bind(t: Tensor, name: ValueName): void {
    this.#values.set(t, name);
    if (t.origin.kind === "param") this.#scopes.set(t, t.origin.param.key.replace(/\.[^.]*$/, ""));
  }

  /** Remembers where the sizes that an input's shape names can be read at run time. */
  symbols(t: Tensor, input: string): void {
    t.shape.forEach((d, axis) => {
      if (typeof d === "string" && !this.#symbols.has(d)) this.#symbols.set(d, { input, axis });
    });
  }

  write(node: Node): void {
    const weight = node.inputs.find((t) => t.origin.kind === "param");
    const first = weight ?? node.inputs.find((t) => this.#scopes.has(t));
    this.#scope = (first && this.#scopes.get(first)) ?? "";
    const inputs = node.inputs.map((t) => this.#values.get(t)!);
    const result = node.op.def.lower(this, inputs, node.attrs, node);
    const names = Array.isArray(result) ? result : [result];
    names.forEach((name, i) => {
      const t = node.outputs[i]!;
      this.#values.set(t, name);
      if (this.#scope) this.#scopes.set(t, this.#scope);
    });
  }

  isUsed(t: Tensor): boolean {
    return this.#used.has(t);
  }

  node(
    opType: string,
    inputs: readonly ValueName[],
    attrs: Readonly<Record<string, AttributeValue>> = {},
    domain?: "com.microsoft",
  ): ValueName {
    return this.nodes(1, opType, inputs, attrs, domain)[0]!;
  }

  nodes(
    count: number,
    opType: string,
    inputs: readonly ValueName[],
    attrs: Readonly<Record<string, AttributeValue>> = {},
    domain?: "com.microsoft",
  ): ValueName[] {
    const name = this.#unique(`${this.#scope}/${opType}`);
    const output = Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}:${i}`));
    const attributes = Object.entries(attrs).map(([key, value]) => attribute(key, value));
    this.#nodes.push(
      create(NodeProtoSchema, {
        name,
        opType,
        domain: domain ?? "",
        input: [...inputs],
        output,
        attribute: attributes,
      }),
    );
    return output;
  }

  constant(value: HostTensor): ValueName {
    const bytes = rawBytes(value);
    // Equal small constants are written once; hashing large ones would cost more than it saves.
    const key = bytes.length <= 256 ? `${value.dtype}[${value.shape}]${bytes}` : `#${this.#constants.size}`;
    const known = this.#constants.get(key);
    if (known) return known.name;
    const proto = inlineTensor(`constant/${this.#constants.size}`, value);
    this.#constants.set(key, proto);
    return proto.name;
  }

  constants(): TensorProto[] {
    return [...this.#constants.values()];
  }

  shape(dims: Shape): ValueName {
    const parts: ValueName[] = [];
    let numbers: number[] = [];
    const flush = () => {
      if (numbers.length > 0) parts.push(this.constant(i64([numbers.length], numbers)));
      numbers = [];
    };
    for (const d of dims) {
      if (typeof d === "number") numbers.push(d);
      else {
        flush();
        parts.push(this.#dim(d));
      }
    }
    flush();
    if (parts.length === 0) return this.constant(i64([0], []));
    return parts.length === 1 ? parts[0]! : this.node("Concat", parts, { axis: 0 });
  }

  /** A symbolic size as i64 [1]. */
  #dim(dim: string): ValueName {
    const known = this.#dims.get(dim);
    if (known) return known;
    const direct = this.#symbols.get(dim);
    const value = direct
      ? this.node("Shape", [direct.input], { start: direct.axis, end: direct.axis + 1 })
      : this.#polynomial(dim);
    this.#dims.set(dim, value);
    return value;
  }

  #polynomial(dim: string): ValueName {
    const number = (n: number) => this.constant(i64([1], [n]));
    const terms = dimTerms(dim).map(([coefficient, symbols]) => {
      const factors = symbols.map((s) => {
        if (s === dim) throw new ShapeError(`emit: no input has the symbolic size "${s}"`);
        return this.#dim(s);
      });
      if (coefficient !== 1 || factors.length === 0) factors.unshift(number(coefficient));
      return factors.reduce((a, b) => this.node("Mul", [a, b]));
    });
    return terms.reduce((a, b) => this.node("Add", [a, b]));
  }

  /** Gives the outputs their names and returns the nodes. */
  finish(outputs: Readonly<Record<string, Tensor>>): NodeProto[] {
    const produced = new Set(this.#nodes.flatMap((n) => n.output));
    const renamed = new Map<ValueName, string>();
    this.#scope = "outputs";
    for (const [name, t] of Object.entries(outputs)) {
      const value = this.#values.get(t)!;
      if (produced.has(value) && !renamed.has(value)) renamed.set(value, name);
      else
        this.#nodes.push(
          create(NodeProtoSchema, {
            name: `outputs/${name}`,
            opType: "Identity",
            input: [value],
            output: [name],
          }),
        );
    }
    for (const node of this.#nodes) {
      node.input = node.input.map((v) => renamed.get(v) ?? v);
      node.output = node.output.map((v) => renamed.get(v) ?? v);
    }
    return this.#nodes;
  }

  #unique(name: string): string {
    const count = this.#names.get(name) ?? 0;
    this.#names.set(name, count + 1);
    return count === 0 ? name : `${name}#${count}`;
  }
}
