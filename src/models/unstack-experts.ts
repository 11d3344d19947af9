import { bytesOf, type HostTensor, hostTensor } from "../core/array.ts";
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
