import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { ConfigError, MediaError, messageOf, RuntimeFailure } from "../core/errors.ts";
import type { FolderLock } from "../core/folder-lock.node.ts";
import { Rng } from "../core/rng.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { abortable } from "./abortable.ts";
import { loadLatestState, removeUnfinished, saveState } from "./checkpoints.node.ts";
import { MetricsLog } from "./metrics-log.node.ts";
import { Pace } from "./pace.ts";
import { fitPositionTables } from "./position-tables.ts";
import type { Recipe } from "./recipe.ts";
import type { RunIdentity } from "./run-identity.ts";
import { cosineWithWarmup } from "./schedule.ts";
import type { Phase, Stage, StepSource } from "./stage.ts";
import type { Measured, TrainOptions } from "./train-options.ts";
import { initialState, type StepInputs, type StepResult, Trainer, type TrainState } from "./trainer.ts";

/** Folder of a run's checkpoints in its output folder. */
export const CHECKPOINTS = "checkpoints";

/** Everything a run is made of, read and checked. */
export interface RunParts {
  readonly recipe: Recipe;
  readonly identity: RunIdentity;
  /** Absolute path. */
  readonly output: string;
  /** The right to write to `output`. */
  readonly lock: FolderLock;
  readonly stage: Stage;
  readonly runtime: Runtime;
  readonly options: TrainOptions;
}

/** The values of the weights can no longer be used; everything else that ends a run leaves them as they were. */
class Diverged extends ConfigError {}

/** A phase that is under way. */
interface RunningPhase {
  readonly phase: Phase;
  /** The step after its last one. */
  readonly end: number;
  /** Weights that no group trains. */
  readonly frozen: ReadonlyMap<string, HostTensor>;
}

/** A training of any stage from its checkpoint, or its beginning, to the exported model. */
export class TrainingRun {
  readonly #parts: RunParts;
  readonly #total: number;
  readonly #rng: Rng;
  #step = 0;
  /** The step of the newest checkpoint. */
  #savedStep = 0;
  /** What ends the run although the batches go on. */
  #stop: Error | undefined;

  constructor(parts: RunParts) {
    this.#parts = parts;
    this.#total = this.#endOf(parts.stage.phases.length - 1);
    this.#rng = new Rng(parts.recipe.seed);
  }

  async run(): Promise<void> {
    const { stage, output } = this.#parts;
    const phases = stage.phases.length;
    let state = await this.#resume();
    const log = await MetricsLog.open(join(output, "metrics.jsonl"), this.#step);
    const under = stage.phases.findIndex((_, i) => this.#step < this.#endOf(i));
    const first = under < 0 ? phases - 1 : under;
    let weights = await this.#initialWeights(first, state);
    for (let index = first; index < phases; index++) {
      const phase = stage.buildPhase(index);
      const fitted = fitPositionTables(weights, phase.params);
      state = fitPositionTables(state ?? initialState(phase.graph, weights), phase.params);
      weights = new Map(phase.graph.frozen.map(({ key }) => [key, fitted.get(key)!]));
      if (this.#step === this.#total) break;
      await using trainer = await this.#createTrainer(phase, weights, state);
      // The host's copy is as large as the runtime's: it is not kept beside it.
      state = undefined;
      await this.#runPhase({ phase, end: this.#endOf(index), frozen: weights }, trainer, log);
      state = await trainer.state();
    }
    await stage.exportModel(new Map([...weights, ...state!]));
  }

  /** The step after the last one of a phase. */
  #endOf(phase: number): number {
    return this.#parts.stage.phases.slice(0, phase + 1).reduce((sum, steps) => sum + steps, 0);
  }

  /** The newest checkpoint's state; undefined at the beginning. */
  async #resume(): Promise<TrainState | undefined> {
    const { output, identity, options } = this.#parts;
    const folder = join(output, CHECKPOINTS);
    for (const place of [output, folder]) await removeUnfinished(place);
    const saved = await loadLatestState(folder, identity, options.onBroken);
    this.#step = this.#savedStep = saved?.step ?? 0;
    return saved?.state;
  }

  /**
   * The weights that the run began with, at the image size of phase `upTo`; none where `state` has them all, because
   * checkpoints hold what is trained and only frozen weights are read again.
   */
  async #initialWeights(
    upTo: number,
    state: TrainState | undefined,
  ): Promise<ReadonlyMap<string, HostTensor>> {
    const { stage } = this.#parts;
    if (state && [...stage.paramsAt(0).keys()].every((key) => state.has(key))) return new Map();
    let weights = await stage.initialWeights(this.#rng.fork("weights"));
    // Phase by phase, because a table resized twice is not one resized once.
    for (let phase = 1; phase <= upTo; phase++) weights = fitPositionTables(weights, stage.paramsAt(phase));
    return weights;
  }

  #createTrainer(
    { graph }: Phase,
    frozen: ReadonlyMap<string, HostTensor>,
    state: TrainState,
  ): Promise<Trainer> {
    const { recipe, runtime } = this.#parts;
    const { betas } = recipe.optimizer;
    return Trainer.create(runtime, graph, { state, frozen, betas, startStep: this.#step });
  }

  /** Runs the rest of a phase. However it ends, what was learned is saved. */
  async #runPhase(running: RunningPhase, trainer: Trainer, log: MetricsLog): Promise<void> {
    const { recipe } = this.#parts;
    await using source = running.phase.openSteps(this.#step, (path, reason) => this.#onBroken(path, reason));
    const pace = new Pace(this.#step, this.#total, recipe.batch_size);
    try {
      while (this.#step < running.end) {
        await this.#doStep(running, trainer, await this.#nextInputs(source), pace, log);
        if (this.#step % recipe.checkpoint_every === 0 || this.#step === this.#total)
          await this.#save(trainer);
      }
    } catch (e) {
      if (!(e instanceof Diverged) && this.#step > this.#savedStep)
        await this.#save(trainer).catch((saving: unknown) => {
          const lost = `steps ${this.#savedStep + 1} to ${this.#step} are lost, because they could not be saved`;
          throw new RuntimeFailure(`${messageOf(e)}; ${lost}: ${messageOf(saving)}`, { cause: e });
        });
      throw e;
    }
  }

  #onBroken(path: string, reason: string): void {
    this.#parts.options.onBroken?.(path, reason);
    const folder = dirname(path);
    if (!existsSync(folder))
      this.#stop ??= new MediaError(
        `train: the folder of pictures ${folder} is not there (needed after step ${this.#step}); bring it back and start the same command again`,
      );
  }

  /** The next step's inputs; rejects when the run was interrupted, or when pictures are gone rather than broken. */
  async #nextInputs(source: StepSource): Promise<StepInputs> {
    const inputs = await abortable(source.next(), this.#parts.options.signal);
    // A batch with other pictures in the place of those would be another training.
    if (this.#stop) throw this.#stop;
    return inputs;
  }

  async #doStep(
    running: RunningPhase,
    trainer: Trainer,
    inputs: StepInputs,
    pace: Pace,
    log: MetricsLog,
  ): Promise<void> {
    const { options } = this.#parts;
    const rates = this.#rates();
    const result = await trainer.run(inputs, rates);
    this.#step = trainer.steps;
    checkFinite(this.#step, result);
    const { imagesPerSecond, etaSeconds } = pace.after(this.#step);
    const line = { step: this.#step, ...result, ...rates, imagesPerSecond, etaSeconds };
    const measured = await this.#measure(running, trainer).catch(async (e: unknown) => {
      await log.add(line);
      throw e;
    });
    const { recall, ...others } = measured ?? {};
    await log.add({ ...line, ...recall, ...others });
    options.onProgress?.({
      step: this.#step,
      steps: this.#total,
      ...result,
      imagesPerSecond,
      etaSeconds,
      ...measured,
    });
  }

  #rates(): Record<string, number> {
    const { warmup_steps, optimizer } = this.#parts.recipe;
    const factor = cosineWithWarmup(this.#step, warmup_steps, this.#total);
    return Object.fromEntries(optimizer.groups.map((g) => [g.name, g.lr * factor]));
  }

  async #measure({ phase, frozen }: RunningPhase, trainer: Trainer): Promise<Measured | undefined> {
    const { evaluation } = this.#parts.recipe;
    if (!evaluation || !phase.measure) return undefined;
    if (this.#step % evaluation.every !== 0 && this.#step !== this.#total) return undefined;
    return phase.measure(new Map([...frozen, ...(await trainer.weights())]));
  }

  async #save(trainer: Trainer): Promise<void> {
    const { output, recipe, identity, lock } = this.#parts;
    const state = await trainer.state();
    await lock.renew();
    await saveState(join(output, CHECKPOINTS), this.#step, state, identity, recipe.keep_checkpoints);
    this.#savedStep = this.#step;
  }
}

/** A gradient that is not finite has already reached the weights, a loss that is not finite shows it a step later. */
function checkFinite(step: number, { loss, gradNorm }: StepResult): void {
  const wrong = !Number.isFinite(loss) ? `loss is ${loss}` : `gradient's norm is ${gradNorm}`;
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm))
    throw new Diverged(
      `train: at step ${step} the ${wrong}; lower the learning rates or lengthen the warm-up, and start anew with another "output"`,
    );
}
