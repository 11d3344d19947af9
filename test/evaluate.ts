import { f32, type HostTensor, sizeOf } from "../src/core/array.ts";
import { Rng } from "../src/core/rng.ts";
import type { Param, Tensor } from "../src/graph/tensor.ts";
import { type EmitOptions, emit } from "../src/onnx/emit.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { initialize } from "../src/train/initialize.ts";

export interface EvaluateOptions extends EmitOptions {
  /** What the graph's inputs are fed with, by name; a gradient need not read all of them. */
  readonly feeds?: Readonly<Record<string, HostTensor>>;
  /** Values of the parameters by key. */
  readonly weights?: ReadonlyMap<string, HostTensor>;
}

/** Runs the graph of the named outputs once in a session of its own. */
export async function evaluate(
  runtime: Runtime,
  outputs: Readonly<Record<string, Tensor>>,
  { feeds = {}, weights = new Map(), ...options }: EvaluateOptions = {},
): Promise<Record<string, HostTensor>> {
  const model = emit(outputs, options);
  const used = new Map(model.params.map((p) => [p.key, weights.get(p.key)!]));
  using set = await runtime.weights(used);
  await using session = await runtime.session(model.bytes, { weights: set });
  return await session.run(Object.fromEntries(session.inputs.map((name) => [name, feeds[name]!])));
}

/**
 * Random weights with which every parameter matters: those of `initialize`, plus noise, so that biases are not zero
 * and scales not one.
 */
export function randomWeights(params: ReadonlyMap<string, Param>, rng: Rng): Map<string, HostTensor> {
  const weights = initialize(params, rng);
  for (const [key, tensor] of weights) {
    const noise = rng.fork(`${key}/noise`);
    const data = tensor.data as Float32Array;
    data.forEach((v, i) => {
      data[i] = v + 0.1 * noise.normal();
    });
  }
  return weights;
}

/** Normal numbers drawn from a name. */
export const normals = (name: string, shape: number[]): HostTensor<"f32"> => {
  const rng = new Rng(name);
  return f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
  );
};
