import type { HostTensor } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";
import type { Param } from "../graph/tensor.ts";
import { interpolatePositions } from "../models/interpolate-positions.ts";
import { WITHOUT_QLLAMA } from "../weights/internvl-c-keys.ts";
import { loadCheckpoint } from "../weights/load-checkpoint.ts";
import { openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { initialize } from "./initialize.ts";

/**
 * What a run starts from, in f32: random weights, or those of the checkpoint at `init` with its position table
 * brought to the model's image size. Throws a CheckpointError for a file that does not fit the model.
 */
export async function initialWeights(
  params: ReadonlyMap<string, Param>,
  init: string | undefined,
  rng: Rng,
): Promise<Map<string, HostTensor>> {
  if (init === undefined) return initialize(params, rng);
  const { checkpoint, keys } = await openCheckpoint(init);
  const sources = await loadCheckpoint(params, checkpoint, {
    ...(keys && { keys }),
    ignore: WITHOUT_QLLAMA,
    resize: (key, tensor, wanted) =>
      key.endsWith("position_embedding")
        ? interpolatePositions(tensor, Math.sqrt(wanted[1]! - 1))
        : undefined,
  });
  const weights = new Map<string, HostTensor>();
  for (const [key, source] of sources) weights.set(key, await checkpoint.read(source));
  return weights;
}
