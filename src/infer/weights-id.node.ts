import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { HostTensor } from "../core/array.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { formatId } from "./embedder.ts";
import { modelNameOf } from "./model-name.ts";
import type { WeightPrecisions } from "./place-weights.ts";

/**
 * A name for what a model gives: what its folder or file is called, the precision, and a hash of names, shapes and the
 * data of a few small tensors (reading billions of weights for a name would take minutes), the precision and the
 * picture's size.
 */
export async function weightsId(
  path: string,
  weights: ReadonlyMap<string, TensorSource>,
  checkpoint: Checkpoint,
  options: WeightPrecisions & { readonly imageSize?: number } = {},
): Promise<string> {
  const hash = createHash("sha256");
  for (const [key, source] of weights) {
    hash.update(`${key} ${source.dtype} [${source.shape}]`);
    // Scales are made with their codes: reading them would quantise every layer once more.
    if (source.shape.length <= 1 && !key.endsWith(".scales")) {
      const tensor: HostTensor = await checkpoint.read(source);
      hash.update(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    }
  }
  const { precision, visionPrecision: vision, imageSize } = options;
  hash.update(JSON.stringify([precision, imageSize, ...(vision ? [vision] : [])]));
  const name = modelNameOf(resolve(path));
  return formatId({ name, precision, fingerprint: hash.digest("hex").slice(0, 12) });
}
