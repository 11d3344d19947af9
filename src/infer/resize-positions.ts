import type { HostTensor } from "../core/array.ts";
import { interpolatePositions } from "../models/interpolate-positions.ts";

/** A position table for another grid; other tensors, and tables of no square grid, are left to be reported. */
export function resizePositions(
  key: string,
  tensor: HostTensor,
  wanted: readonly number[],
): HostTensor | undefined {
  const grid = Math.sqrt((tensor.shape[1] ?? 0) - 1);
  return key.endsWith("position_embedding") && tensor.shape.length === 3 && Number.isInteger(grid)
    ? interpolatePositions(tensor, Math.sqrt(wanted[1]! - 1))
    : undefined;
}
