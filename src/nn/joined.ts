import type { Tensor } from "../graph/tensor.ts";
import { split } from "../ops/index.ts";
import { Linear, type LinearLike } from "./layers.ts";
import { Module, modules } from "./module.ts";
import { Int8Linear, QuantizedLinear } from "./quantized.ts";

/** Fields that hold linear layers of one input, in any module that has them. */
const SAME_INPUT = [
  ["q_proj", "k_proj", "v_proj"],
  ["gate_proj", "up_proj"],
  ["w1", "w3"],
] as const;

/** What may be joined: the layer as published, or what a precision made of it. */
type Projection = Linear | QuantizedLinear | Int8Linear;

const isProjection = (module: unknown): module is Projection =>
  module instanceof Linear || module instanceof QuantizedLinear || module instanceof Int8Linear;

/** One of several layers that became one, whose outputs stand one after the other. */
class JoinedPart extends Module implements LinearLike {
  readonly joined!: Projection;

  constructor(
    joined: Projection,
    readonly index: number,
    /** Outputs of each part. */
    readonly sizes: readonly number[],
  ) {
    super();
    // Not part of the tree here: it is a field of the module that has the parts.
    Object.defineProperty(this, "joined", { value: joined, enumerable: false });
  }

  forward(x: Tensor): Tensor {
    return this.all(x)[this.index]!;
  }

  /** The outputs of all parts. */
  all(x: Tensor): readonly Tensor[] {
    return split.outputs(this.joined.forward(x), { axis: x.rank - 1, sizes: this.sizes });
  }
}

/** Products of one input with several layers: [.., in] -> [.., out] of each, by one product where they are joined. */
export function project<L extends readonly LinearLike[]>(
  x: Tensor,
  ...layers: L
): { readonly [K in keyof L]: Tensor } {
  const [first] = layers;
  const isJoined =
    first instanceof JoinedPart &&
    layers.every((l, i) => l instanceof JoinedPart && l.joined === first.joined && l.index === i);
  const outputs = isJoined ? first.all(x) : layers.map((layer) => layer.forward(x));
  return outputs as { readonly [K in keyof L]: Tensor };
}

/** Layers that became one: their paths, in the order of its outputs, and its own. */
export interface Joining {
  readonly parts: readonly string[];
  readonly path: string;
  readonly joined: Projection;
}

/**
 * Replaces, in place, linear layers that read the same input by one each, of all their outputs; `accept` has the last
 * word. Layers of different kinds, and of which only some have a bias, stay as they are.
 */
export function joinLinears(
  root: Module,
  accept: (parts: readonly string[]) => boolean = () => true,
): Joining[] {
  const joinings: Joining[] = [];
  for (const [path, owner] of [...modules(root)])
    for (const names of SAME_INPUT) {
      const fields = owner as unknown as Record<string, Module>;
      const layers = names.map((name) => fields[name]);
      const parts = names.map((name) => (path ? `${path}.${name}` : name));
      if (!layers.every(isProjection) || !alike(layers) || !accept(parts)) continue;
      const sizes = layers.map((layer) => layer.outFeatures);
      const joined = layers[0]!.withOutputs(sizes.reduce((a, b) => a + b));
      const name = names.join("+");
      fields[name] = joined;
      for (const [i, field] of names.entries()) fields[field] = new JoinedPart(joined, i, sizes);
      joinings.push({ parts, path: path ? `${path}.${name}` : name, joined });
    }
  return joinings;
}

function alike(layers: readonly Projection[]): boolean {
  const kind = (layer: Projection) =>
    [
      layer.constructor.name,
      layer.inFeatures,
      layer.bias !== undefined,
      layer instanceof QuantizedLinear && `${layer.spec.bits} ${layer.spec.blockSize} ${layer.spec.offsets}`,
    ].join();
  return layers.every((layer) => kind(layer) === kind(layers[0]!));
}
