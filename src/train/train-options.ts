import type { HostTensor } from "../core/array.ts";
import type { ManifestItem } from "../data/manifest.ts";
import type { InternVLConfig } from "../models/internvl_c.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { StepResult } from "./trainer.ts";

/** What was measured on what a model is not trained on. */
export interface Measured {
  /** Recalls by name. */
  readonly recall?: Readonly<Record<string, number>>;
  /** Loss in nats, the mean over the trained tokens. */
  readonly heldOutLoss?: number;
}

/** A report of a running training, after a step; with what was just measured. */
export interface TrainEvent extends StepResult, Measured {
  /** Steps done, and of how many. */
  readonly step: number;
  readonly steps: number;
  readonly imagesPerSecond: number;
  readonly etaSeconds: number;
}

/** What measures a half-trained model: recalls by name. */
export type Evaluate = (current: {
  readonly runtime: Runtime;
  readonly config: InternVLConfig;
  readonly weights: ReadonlyMap<string, HostTensor>;
  readonly tokenizer: Tokenizer;
  readonly items: readonly ManifestItem[];
  readonly languages: readonly string[];
  readonly maxTextTokens: number;
  readonly signal?: AbortSignal;
}) => Promise<Readonly<Record<string, number>>>;

export interface TrainOptions {
  /** Ends the run after the step that is under way; a checkpoint of it is saved. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: TrainEvent) => void;
  readonly threads?: number;
  /** Told of files that cannot be used: pictures, and checkpoints that are passed over. */
  readonly onBroken?: (path: string, reason: string) => void;
  /** Measures recall where the recipe asks for it. */
  readonly evaluate?: Evaluate;
}

export interface TrainSummary {
  readonly steps: number;
  /** Folder of the trained model: model.safetensors, config.json, tokenizer. */
  readonly output: string;
}
