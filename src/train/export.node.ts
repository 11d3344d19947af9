import type { HostTensor } from "../core/array.ts";
import { isQuantizedPrecision, type Precision } from "../core/precisions.ts";
import { applyPrecision } from "../models/precision.ts";
import type { Quantizer } from "../models/quantizer.ts";
import { type Module, parameters } from "../nn/module.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { castSource } from "../weights/cast.ts";
import { writeModel } from "../weights/write-model.node.ts";

/** A trained model. */
export interface Trained {
  /** Its tree, which is changed. */
  readonly model: Module;
  /** config.json. */
  readonly config: object;
  /** f32; may be more than the model's. */
  readonly weights: ReadonlyMap<string, HostTensor>;
  readonly precision: Precision;
  readonly quantizer: Quantizer;
}

/**
 * Writes a trained model into `folder` in the published layout: config.json, then model.safetensors, each whole or not
 * at all. Beside quantised layers the tables and other matrices are written as f16: they would be most of the file.
 */
export async function exportModel(
  folder: string,
  { model, config, weights, precision, quantizer }: Trained,
): Promise<void> {
  const trained = new Map([...parameters(model).keys()].map((key) => [key, weights.get(key)!]));
  const read = async (source: TensorSource) => source as HostTensor;
  const stored = applyPrecision(model, trained, precision, { read, quantizer });
  const quantized = isQuantizedPrecision(precision);
  if (quantized)
    for (const [key, source] of stored)
      if (source.dtype === "f32" && source.shape.length > 1 && !key.endsWith(".scales"))
        stored.set(key, castSource(source, "f16", read));
  const json = { ...config, ...(quantized && { precision }) };
  await writeModel(folder, json, stored);
}
