import { ConfigError } from "../core/errors.ts";
import { Linear } from "../nn/layers.ts";
import { type Module, modules, parameters, transform } from "../nn/module.ts";
import { type QuantizationSpec, QuantizedLinear } from "../nn/quantized.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { type BlockTensor, isBlockTensor } from "../weights/ggml-rows.ts";
import { inParts } from "./in-parts.ts";

/**
 * Keeps quantised what a checkpoint holds quantised (GGUF): linear layers multiply by the file's own codes and scales,
 * all else is dequantised when it is loaded. Changes the model's tree and gives the weights that belong to it; call it
 * before applyPrecision, without a precision there. Reads nothing. Throws a ConfigError for a weight of another shape.
 */
export function keepBlocks(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
): Map<string, TensorSource> {
  const out = new Map(weights);
  const kept = new Map<string, BlockTensor>();
  for (const [path, module] of modules(model)) {
    const source = weights.get(`${path}.weight`);
    if (!(module instanceof Linear) || source === undefined || !isBlockTensor(source)) continue;
    const wanted = [module.outFeatures, module.inFeatures];
    if (source.shape.join() !== wanted.join())
      throw new ConfigError(
        `keepBlocks: ${path}.weight must be [${wanted}], the checkpoint has [${source.shape}]; load it for this model`,
      );
    kept.set(path, source);
  }
  transform(model, (module, path) => {
    const source = kept.get(path);
    return source && new QuantizedLinear(module as Linear, specOf(source));
  });
  const tree = parameters(model);
  for (const [at, source] of kept) {
    const key = `${at}.weight`;
    const parts = (["codes", "scales", "offsets"] as const).filter((part) => tree.has(`${key}.${part}`));
    const made = inParts(parts, async () => {
      // Where there are no offsets, nobody asks for them.
      const { codes, scales, offsets = scales } = await source.repack();
      return { codes, scales, offsets };
    });
    out.delete(key);
    for (const part of parts) {
      const { dtype, shape } = tree.get(`${key}.${part}`)!;
      out.set(`${key}.${part}`, { dtype, shape, load: () => made(part) });
    }
  }
  return out;
}

/** How the blocks of a tensor are multiplied by. */
function specOf({ type }: BlockTensor): QuantizationSpec {
  const { bits, groupSize, hasMin } = type.blocks!;
  return { bits, blockSize: groupSize, ...(hasMin ? { offsets: true } : {}) };
}
