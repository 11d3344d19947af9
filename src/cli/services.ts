import { UsageError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { Framing, RgbImage } from "../vision/image.ts";

/**
 * The libraries behind the commands that tests replace. Each is loaded when it is first used, so that `--help`
 * loads none.
 */
export interface Services {
  loadEmbedder(path: string, options?: { readonly threads?: number }): Promise<Embedder>;
  loadImage(
    source: string | Uint8Array,
    options: { readonly size: number; readonly framing: Framing },
  ): Promise<RgbImage>;
  train(recipePath: string, options: TrainOptions): Promise<TrainSummary>;
  /** Compares every expected output of `case.safetensors` in `dir` with what the checkpoint there gives. */
  parity(dir: string, options: { readonly signal: AbortSignal }): AsyncIterable<ParityOutput>;
}

export interface TrainOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (event: TrainEvent) => void;
  readonly threads?: number;
}

/** A report of a running training. */
export interface TrainEvent {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly imagesPerSecond: number;
  readonly etaSeconds?: number;
  /** Held-out recalls by name, where they were just measured. */
  readonly recall?: Readonly<Record<string, number>>;
}

export interface TrainSummary {
  readonly steps: number;
  /** Where the trained model is. */
  readonly output: string;
}

export interface ParityOutput {
  readonly name: string;
  readonly status: "ok" | "fail" | "unsupported";
  /** Worst absolute and relative difference; NaN where unsupported. */
  readonly maxAbs: number;
  readonly maxRel: number;
}

export const defaultServices: Services = {
  async loadEmbedder() {
    throw new UsageError("this build cannot load models yet");
  },
  async loadImage(source, options) {
    const { loadForModel } = await import("../vision/preprocess.node.ts");
    return loadForModel(source, options);
  },
  async train() {
    throw new UsageError("this build cannot train yet");
  },
  // biome-ignore lint/correctness/useYield: it has nothing to yield yet
  async *parity() {
    throw new UsageError("this build cannot compare yet");
  },
};
