import type { Tensor } from "../graph/tensor.ts";

/**
 * Applies one layer of a tower to its inputs. Training passes its own to have a layer's values recomputed in the
 * backward pass instead of kept.
 */
export type RunLayer = <I extends readonly Tensor[]>(
  name: string,
  layer: (...inputs: I) => Tensor,
  ...inputs: I
) => Tensor;

/** The layer as it is. */
export const runLayer: RunLayer = (_name, layer, ...inputs) => layer(...inputs);
