import type { HostTensor } from "../core/array.ts";
import { joinLinears } from "../nn/joined.ts";
import { type Module, parameters } from "../nn/module.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { isFileTensor } from "../weights/checkpoint.ts";
import { concatSources } from "../weights/concat.ts";

/** What a linear layer's parameters are called, in every precision. */
const PARAMETERS = ["weight", "weight.codes", "weight.scales", "weight.offsets", "bias"];

/**
 * Makes one product of the linear layers that read the same input (q, k and v; gate and up): changes the model's tree
 * and gives the weights that belong to it. For inference, after `applyPrecision`, as the keys are no longer the
 * published ones. Reads nothing: a joined weight is put together of what `read` fetches when it is loaded. Layers stay
 * apart whose weights differ in dtype or are byte ranges of a file: these are mapped, joined they would be a copy in
 * memory, and products in f32 wait for memory and get no faster (docs/LOG.md, 2026-11-25).
 */
export function joinProjections(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
  read: (source: TensorSource) => Promise<HostTensor>,
): Map<string, TensorSource> {
  const out = new Map(weights);
  const sources = (parts: readonly string[], name: string) =>
    parts.map((part) => weights.get(`${part}.${name}`)).filter((source) => source !== undefined);
  const joinings = joinLinears(model, (parts) =>
    PARAMETERS.every((name) => {
      const own = sources(parts, name);
      return own.every((source) => source.dtype === own[0]!.dtype && !isFileTensor(source));
    }),
  );
  const tree = parameters(model);
  for (const { parts, path } of joinings)
    for (const name of PARAMETERS) {
      const param = tree.get(`${path}.${name}`);
      if (param === undefined) continue;
      const joined = sources(parts, name);
      // Outputs are the axis that has grown: the first, or the second of what is stored as [K, N].
      const axis = param.shape.findIndex((size, i) => size !== joined[0]!.shape[i]);
      out.set(param.key, concatSources(joined, axis, read));
      param.dtype = joined[0]!.dtype;
      for (const part of parts) out.delete(`${part}.${name}`);
    }
  return out;
}
