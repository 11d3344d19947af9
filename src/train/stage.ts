import type { HostTensor } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";
import type { Param } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Measured } from "./train-options.ts";
import type { StepInputs } from "./trainer.ts";
import type { TrainingStep } from "./training-step.ts";

/** What a kind of training brings to the loop that all share. */
export interface Stage {
  /** Steps of each phase. A phase has a graph of its own. */
  readonly phases: readonly number[];
  /** The parameters of a phase's model. */
  paramsAt(phase: number): ReadonlyMap<string, Param>;
  /** What the run starts from, in f32, for the model of the first phase. */
  initialWeights(rng: Rng): Promise<ReadonlyMap<string, HostTensor>>;
  buildPhase(index: number): Phase;
  /** Writes the trained model; `weights` may hold more than its own. */
  exportModel(weights: ReadonlyMap<string, HostTensor>): Promise<void>;
}

export interface Phase {
  readonly params: ReadonlyMap<string, Param>;
  readonly graph: TrainingStep;
  /** The inputs of the steps from `start` on; `onBroken` is told of pictures that cannot be used. */
  openSteps(start: number, onBroken: (path: string, reason: string) => void): StepSource;
  /** Measures the model on what it is not trained on. */
  measure?(weights: ReadonlyMap<string, HostTensor>): Promise<Measured>;
}

/** The inputs of step after step. */
export interface StepSource extends AsyncDisposable {
  next(): Promise<StepInputs>;
}

/** A stage whose recipe and data were read and checked, before anything is written. */
export interface PreparedStage {
  /** Of the training data: a run is continued with the same alone. */
  readonly digest: string;
  /** Puts the tokenizer into the output folder. `resumed`: an earlier run left checkpoints there. */
  open(context: {
    readonly output: string;
    readonly resumed: boolean;
    readonly runtime: Runtime;
  }): Promise<Stage>;
}
