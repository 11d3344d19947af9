import { castFloat, type HostTensor, toF32 } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { Linear } from "../nn/layers.ts";
import { type Module, modules, parameters } from "../nn/module.ts";
import { type QuantizationSpec, quantizeLinears } from "../nn/quantized.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { quantizeBlocks } from "../weights/quantize.ts";

/**
 * How weights are kept. "f32", "f16", "bf16": rounded so, computed in f32; the CPU runtime widens the matrices once,
 * when it makes a session, so that in memory they take the place of f32 whatever is chosen. "w8", "w4": the towers'
 * linear layers are block-quantised to 8 or 4 bits and multiplied with int8 activations; everything else stays as in
 * the file. This is what saves memory: 13 billion weights take 50 GB widened, 13 GB (and as much packed) in 8 bits.
 */
export type Precision = "f32" | "f16" | "bf16" | "w8" | "w4";

export const PRECISIONS: readonly Precision[] = ["f32", "f16", "bf16", "w8", "w4"];

/** What "w8" and "w4" mean: 8 bits in blocks of 128, 4 bits in blocks of 32. */
export const QUANTIZATION: { readonly [P in "w8" | "w4"]: QuantizationSpec } = {
  w8: { bits: 8, blockSize: 128 },
  w4: { bits: 4, blockSize: 32 },
};

/** The pooling heads see one row a picture and decide the embedding: they are cheap and stay unquantised. */
const isQuantized = (path: string): boolean => !path.startsWith("clip_projector");

/**
 * Changes a model's tree to a precision and gives the weights that belong to it. Without a precision the parameters
 * take the dtypes of the file. Only tensors that change are read into memory.
 */
export async function applyPrecision(
  model: Module,
  weights: ReadonlyMap<string, TensorSource>,
  precision: Precision | undefined,
  read: (source: TensorSource) => Promise<HostTensor>,
): Promise<Map<string, TensorSource>> {
  const out = new Map(weights);
  if (precision === "w8" || precision === "w4") await quantize(model, out, precision, read);
  for (const [key, param] of parameters(model)) {
    const source = out.get(key);
    if (!source) throw new ConfigError(`applyPrecision: the weights have no "${key}"`);
    const isFloat = ["f32", "f16", "bf16"].includes(source.dtype);
    if (
      isFloat &&
      (precision === "f32" || precision === "f16" || precision === "bf16") &&
      source.dtype !== precision
    )
      out.set(key, castFloat(await read(source), precision));
    param.dtype = out.get(key)!.dtype;
  }
  return out;
}

/** Gives a model the tree that "w8" or "w4" makes: for checkpoints that were written quantised. */
export function quantizeTree(model: Module, precision: "w8" | "w4"): void {
  quantizeLinears(model, QUANTIZATION[precision], isQuantized);
}

async function quantize(
  model: Module,
  weights: Map<string, TensorSource>,
  precision: "w8" | "w4",
  read: (source: TensorSource) => Promise<HostTensor>,
): Promise<void> {
  const linears = [...modules(model)].filter(([path, m]) => m instanceof Linear && isQuantized(path));
  quantizeTree(model, precision);
  const { bits, blockSize } = QUANTIZATION[precision];
  for (const [path] of linears) {
    const key = `${path}.weight`;
    const { codes, scales } = quantizeBlocks(toF32(await read(weights.get(key)!)), {
      bits,
      blockSize: blockSize as 32 | 128,
    });
    weights.delete(key);
    weights.set(`${key}.codes`, codes);
    weights.set(`${key}.scales`, scales);
  }
}
