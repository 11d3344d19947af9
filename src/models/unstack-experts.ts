import { bytesOf, f32, type HostTensor, hostTensor, toF32 } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { unstackTree } from "../nn/expert-stacks.ts";
import type { Module } from "../nn/module.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { isFileTensor } from "../weights/checkpoint.ts";
import { isExpertStack } from "../weights/ggml-rows.ts";
import { inParts } from "./in-parts.ts";

/**
 * Gives each expert whose weights lie in one tensor with the others' [E, in, out] linear layers of its own: changes the
 * model's tree and gives the weights that belong to it, [out, in] each. Reads nothing: an expert's weight is read from
 * its own part of a file when it is loaded; experts that a file holds quantised stay so.
 */
export function unstackExperts(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
  read: (source: TensorSource) => Promise<HostTensor>,
): Map<string, TensorSource> {
  const out = new Map(weights);
  for (const { key, weights: own } of unstackTree(model)) {
    const experts = expertsOf(weights.get(key)!, read);
    out.delete(key);
    for (const [e, name] of own.entries()) out.set(name, experts[e]!);
  }
  return out;
}

/**
 * The inverse for tensors of a file, in f32: stacks that `params` has [E, in, out], of weights [out, in] or wider that
 * stand there for each expert. What is not made of experts stays.
 */
export function stackExperts(
  params: ReadonlyMap<string, { readonly shape: readonly unknown[] }>,
  tensors: ReadonlyMap<string, TensorSource>,
  read: (source: TensorSource) => Promise<HostTensor>,
): Map<string, TensorSource> {
  const out = new Map(tensors);
  for (const [key, { shape }] of params) {
    if (shape.length !== 3 || !tensors.has(`${key}.0.weight`)) continue;
    const [E, K, N] = shape as [number, number, number];
    const own = Array.from({ length: E }, (_, e) => `${key}.${e}.weight`).filter((name) => tensors.has(name));
    // A stack that lacks an expert is told as missing.
    if (own.length !== E) continue;
    for (const name of own) out.delete(name);
    const load = async () => {
      const stack = new Float32Array(E * K * N);
      for (const [e, name] of own.entries()) {
        const { data, shape } = toF32(await read(tensors.get(name)!));
        const width = shape[1]!;
        for (let n = 0; n < N; n++)
          for (let k = 0; k < K; k++) stack[(e * K + k) * N + n] = data[n * width + k]!;
      }
      return f32([E, K, N], stack);
    };
    out.set(key, { dtype: "f32", shape: [E, K, N], load });
  }
  return out;
}

/** The weights [out, in] of the experts in a stack [E, in, out]. */
function expertsOf(
  stack: TensorSource,
  read: (source: TensorSource) => Promise<HostTensor>,
): readonly TensorSource[] {
  if (isExpertStack(stack)) return stack.experts;
  const { dtype } = stack;
  const [E, K, N] = stack.shape as [number, number, number];
  const one = { dtype, shape: [K, N] };
  const names = Array.from({ length: E }, (_, e) => `${e}`);
  const all = inParts(names, async () => {
    const { data } = await read(stack);
    const part = (e: number) => hostTensor(dtype, [K, N], data.slice(e * K * N, (e + 1) * K * N) as never);
    return Object.fromEntries(names.map((name, e) => [name, part(e)]));
  });
  const load = (e: number) =>
    isFileTensor(stack)
      ? read({ ...one, file: stack.file, offset: stack.offset + e * bytesOf(dtype, [K, N]) })
      : all(`${e}`);
  return names.map((_, e) => ({ dtype, shape: [N, K], load: async () => transposed(await load(e)) }));
}

/** Side of the squares that are transposed one after the other, so that both sides stay in the cache. */
const SQUARE = 64;

/** [K, N] -> [N, K] */
function transposed({ dtype, shape, data: from }: HostTensor): HostTensor {
  const [K, N] = shape as [number, number];
  const to = new DTYPES[dtype].array(K * N);
  for (let k0 = 0; k0 < K; k0 += SQUARE)
    for (let n0 = 0; n0 < N; n0 += SQUARE)
      for (let n = n0; n < Math.min(n0 + SQUARE, N); n++)
        for (let k = k0; k < Math.min(k0 + SQUARE, K); k++) to[n * K + k] = from[k * N + n]!;
  return hostTensor(dtype, [N, K], to as never);
}
