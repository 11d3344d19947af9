import type { HostTensor } from "../core/array.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";

/** Relative to the largest expected magnitude of a tensor, in f32: rounding differs between kernels. */
export const TOLERANCE = {
  outputs: 1e-4,
  losses: 1e-4,
  gradients: 1e-3,
  /** Weights after five steps: AdamW divides small gradients by their own size, and the noise with them. */
  weights: 1e-3,
} as const;

/** What can be computed: by name of the expected output, a value and its tolerance. */
export type Computed = ReadonlyMap<string, { readonly actual: HostTensor; readonly tolerance: number }>;

export interface ParityOptions {
  /** Stops the computing at the next operator, the training after the step in work. */
  readonly signal?: AbortSignal;
  readonly threads?: number;
  readonly onProgress?: (progress: ParityProgress) => void;
}

/** How far a comparison is: of the tensors to load, the outputs to compute, or the training steps. */
export interface ParityProgress {
  readonly phase: "loading" | "computing" | "training";
  readonly done: number;
  readonly total: number;
}

/** A tensor of a case. */
export const readCase = (reference: Checkpoint, key: string): Promise<HostTensor> =>
  reference.read(reference.tensors.get(key)!);
