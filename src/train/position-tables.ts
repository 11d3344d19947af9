import { type HostTensor, zeros } from "../core/array.ts";
import { sameShape } from "../core/shape.ts";
import type { Param } from "../graph/tensor.ts";
import { interpolatePositions } from "../models/interpolate-positions.ts";
import { stateNames } from "./training-step.ts";

/**
 * Brings position tables among weights and AdamW's moments to the shapes of a model with another image size; the rest
 * is passed on. Tables are interpolated as in the published models. Their moments start again at zero: an interpolated
 * mean of squares could come out near 0 where the mean is not, and the step would be unbounded; from zeros it is at
 * most (1 − β₁)/√(1 − β₂) of the learning rate.
 */
export function fitPositionTables(
  tensors: ReadonlyMap<string, HostTensor>,
  params: ReadonlyMap<string, Param>,
): Map<string, HostTensor> {
  const fitted = new Map(tensors);
  for (const [key, { shape }] of params) {
    if (!key.endsWith("position_embedding")) continue;
    const table = tensors.get(key);
    if (table && !sameShape(table.shape, shape))
      fitted.set(key, interpolatePositions(table, Math.sqrt(shape[1]! - 1)));
    const { m, v } = stateNames(key);
    for (const name of [m, v]) {
      const moment = tensors.get(name);
      if (moment && !sameShape(moment.shape, shape)) fitted.set(name, zeros("f32", shape));
    }
  }
  return fitted;
}
