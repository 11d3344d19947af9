import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { ConfigError, MediaError, messageOf, RuntimeFailure } from "../core/errors.ts";
import type { FolderLock } from "../core/folder-lock.node.ts";
import { Rng } from "../core/rng.ts";
import { type Batches, openBatches, type TrainingBatch } from "../data/batches.node.ts";
import { captionTables } from "../data/captions.ts";
import type { ManifestItem } from "../data/manifest.ts";
import type { TextList } from "../data/text-pairs.ts";
import { InternVLC, type InternVLConfig } from "../models/internvl_c.ts";
import { parameters } from "../nn/module.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { abortable } from "./abortable.ts";
import { loadLatestState, removeUnfinished, saveState } from "./checkpoints.node.ts";
import { buildContrastiveStep, type ContrastiveStep } from "./contrastive-step.ts";
import { exportModel } from "./export.node.ts";
import { initialWeights } from "./initial-weights.node.ts";
import { MetricsLog } from "./metrics-log.node.ts";
import { Pace } from "./pace.ts";
import { fitPositionTables } from "./position-tables.ts";
import { modelConfigAt, phaseAt, type Recipe, totalSteps } from "./recipe.ts";
import type { RunIdentity } from "./run-identity.ts";
import { cosineWithWarmup } from "./schedule.ts";
import { stepInputs } from "./step-inputs.ts";
import type { TrainOptions } from "./train-options.ts";
import { initialState, type StepResult, Trainer, type TrainState } from "./trainer.ts";

/** Folder of a run's checkpoints in its output folder. */
export const CHECKPOINTS = "checkpoints";

/** Everything a run is made of, read and checked. */
export interface RunParts {
  readonly recipe: Recipe;
  readonly identity: RunIdentity;
  /** Absolute paths. */
  readonly output: string;
  /** The right to write to `output`. */
  readonly lock: FolderLock;
  readonly init: string | undefined;
  readonly tokenizer: Tokenizer;
  readonly items: readonly ManifestItem[];
  /** Texts of equal meaning; none where the recipe names no file. */
  readonly textLists: readonly TextList[];
  readonly heldOut: ReadonlyMap<string, readonly ManifestItem[]>;
  readonly runtime: Runtime;
  readonly options: TrainOptions;
}

/** The values of the weights can no longer be used; everything else that ends a run leaves them as they were. */
class Diverged extends ConfigError {}

/** One phase's model, graph and inputs. */
interface Phase {
  readonly index: number;
  readonly config: InternVLConfig;
  readonly model: InternVLC;
  readonly patches: number;
  readonly keptPatches: number;
  readonly graph: ContrastiveStep;
  /** Weights that no group trains. */
  readonly frozen: ReadonlyMap<string, HostTensor>;
}

/** A contrastive training from its checkpoint, or its beginning, to the exported model. */
export class ContrastiveRun {
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
    this.#total = totalSteps(parts.recipe);
    this.#rng = new Rng(parts.recipe.seed);
  }

  async run(): Promise<void> {
    const { recipe, output } = this.#parts;
    let state = await this.#resume();
    const log = await MetricsLog.open(join(output, "metrics.jsonl"), this.#step);
    const first = this.#step < this.#total ? phaseAt(recipe, this.#step) : recipe.phases.length - 1;
    let weights = await this.#initialWeights(first, state);
    for (let index = first; index < recipe.phases.length; index++) {
      const phase = this.#buildPhase(index, weights);
      state = fitPositionTables(state ?? initialState(phase.graph, weights), parameters(phase.model));
      weights = phase.frozen;
      if (this.#step === this.#total) break;
      await using trainer = await this.#createTrainer(phase, state);
      // The host's copy is as large as the runtime's: it is not kept beside it.
      state = undefined;
      await this.#runPhase(phase, trainer, log);
      state = await trainer.state();
    }
    await exportModel(output, this.#configAt(recipe.phases.length - 1), new Map([...weights, ...state!]), {
      precision: recipe.export_precision,
      maxTextTokens: recipe.max_text_tokens,
    });
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
    const paramsAt = (phase: number) => parameters(new InternVLC(this.#configAt(phase)));
    if (state && [...paramsAt(0).keys()].every((key) => state.has(key))) return new Map();
    let weights: ReadonlyMap<string, HostTensor> = await initialWeights(
      paramsAt(0),
      this.#parts.init,
      this.#rng.fork("weights"),
    );
    // Phase by phase, because a table resized twice is not one resized once.
    for (let phase = 1; phase <= upTo; phase++) weights = fitPositionTables(weights, paramsAt(phase));
    return weights;
  }

  #configAt(phase: number): InternVLConfig {
    const config = modelConfigAt(this.#parts.recipe, phase);
    const { vocabSize } = this.#parts.tokenizer;
    return { ...config, qllama_config: { ...config.qllama_config, vocab_size: vocabSize } };
  }

  #buildPhase(index: number, weights: ReadonlyMap<string, HostTensor>): Phase {
    const { recipe } = this.#parts;
    const { optimizer, batch_size, drop_path, recompute } = recipe;
    const { text_pairs: pairs } = recipe.data;
    const config = this.#configAt(index);
    const model = new InternVLC(config);
    const { image_size, patch_size } = model.vision_model.cfg;
    const patches = (image_size / patch_size) ** 2;
    const keptPatches = Math.max(1, Math.round(patches * recipe.phases[index]!.keep_patches));
    const graph = buildContrastiveStep(model, {
      batchSize: batch_size,
      captions: captionTables(recipe.data.languages).length,
      ...(pairs && { textPairs: { count: pairs.batch_size, weight: pairs.loss_weight } }),
      images: "u8",
      ...(keptPatches < patches && { keptPatches }),
      dropPath: drop_path > 0,
      recompute,
      betas: optimizer.betas,
      epsilon: optimizer.epsilon,
      maxGradNorm: optimizer.max_grad_norm,
      weightDecay: optimizer.weight_decay,
      groups: optimizer.groups,
    });
    const fitted = fitPositionTables(weights, parameters(model));
    const frozen = new Map(graph.frozen.map(({ key }) => [key, fitted.get(key)!]));
    return { index, config, model, patches, keptPatches, graph, frozen };
  }

  #createTrainer({ graph, frozen }: Phase, state: TrainState): Promise<Trainer> {
    const { recipe, runtime } = this.#parts;
    const { betas } = recipe.optimizer;
    return Trainer.create(runtime, graph, { state, frozen, betas, startStep: this.#step });
  }

  /** Runs the rest of a phase. However it ends, what was learned is saved. */
  async #runPhase(phase: Phase, trainer: Trainer, log: MetricsLog): Promise<void> {
    const { recipe } = this.#parts;
    await using batches = this.#openBatches(phase);
    const pace = new Pace(this.#step, this.#total, recipe.batch_size);
    try {
      while (phaseAt(recipe, this.#step) === phase.index) {
        await this.#doStep(phase, trainer, await this.#nextBatch(batches), pace, log);
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

  #openBatches({ model }: Phase): Batches {
    const { recipe, items, textLists, options } = this.#parts;
    const { data, batch_size, seed } = recipe;
    return openBatches({
      items,
      batchSize: batch_size,
      size: model.imageSize,
      augmentation: data.augmentation,
      ...(data.languages && { languages: data.languages }),
      firstCaptionShare: data.first_caption_share,
      ...(data.text_pairs && { textPairs: { lists: textLists, count: data.text_pairs.batch_size } }),
      seed: `${seed}/batches`,
      startStep: this.#step,
      workers: data.workers,
      cacheBytes: data.cache_mb * 2 ** 20,
      onBroken: ({ path, reason }) => {
        options.onBroken?.(path, reason);
        const folder = dirname(path);
        if (!existsSync(folder))
          this.#stop ??= new MediaError(
            `train: the folder of pictures ${folder} is not there (needed after step ${this.#step}); bring it back and start the same command again`,
          );
      },
    });
  }

  /** The next batch; rejects when the run was interrupted, or when pictures are gone rather than broken. */
  async #nextBatch(batches: Batches): Promise<TrainingBatch> {
    const batch = await abortable(batches.next(), this.#parts.options.signal);
    // A batch with other pictures in the place of those would be another training.
    if (this.#stop) throw this.#stop;
    return batch;
  }

  async #doStep(
    phase: Phase,
    trainer: Trainer,
    batch: TrainingBatch,
    pace: Pace,
    log: MetricsLog,
  ): Promise<void> {
    const { recipe, tokenizer, options } = this.#parts;
    const { patches, keptPatches, config } = phase;
    const rates = this.#rates();
    const inputs = stepInputs(batch, tokenizer, {
      maxTextTokens: recipe.max_text_tokens,
      patches,
      keptPatches,
      layers: config.vision_config.num_hidden_layers,
      dropPath: recipe.drop_path,
      rng: this.#rng,
    });
    const result = await trainer.run(inputs, rates);
    this.#step = trainer.steps;
    checkFinite(this.#step, result);
    const measured = { step: this.#step, ...result, ...rates, ...pace.after(this.#step) };
    const recall = await this.#recall(phase, trainer).catch(async (e: unknown) => {
      await log.add(measured);
      throw e;
    });
    await log.add({ ...measured, ...recall });
    const { imagesPerSecond, etaSeconds } = measured;
    options.onProgress?.({
      step: this.#step,
      steps: this.#total,
      ...result,
      imagesPerSecond,
      etaSeconds,
      ...(recall && { recall }),
    });
  }

  #rates(): Record<string, number> {
    const { warmup_steps, optimizer } = this.#parts.recipe;
    const factor = cosineWithWarmup(this.#step, warmup_steps, this.#total);
    return Object.fromEntries(optimizer.groups.map((g) => [g.name, g.lr * factor]));
  }

  async #recall(phase: Phase, trainer: Trainer): Promise<Record<string, number> | undefined> {
    const { recipe, heldOut, runtime, tokenizer, options } = this.#parts;
    const { evaluate, signal } = options;
    const { evaluation } = recipe;
    if (!evaluation || !evaluate) return undefined;
    if (this.#step % evaluation.every !== 0 && this.#step !== this.#total) return undefined;
    const weights = new Map([...phase.frozen, ...(await trainer.weights())]);
    const all: Record<string, number> = {};
    for (const [split, items] of heldOut) {
      const recalls = await evaluate({
        runtime,
        config: phase.config,
        weights,
        tokenizer,
        items,
        languages: evaluation.languages,
        maxTextTokens: recipe.max_text_tokens,
        ...(signal && { signal }),
      });
      for (const [name, value] of Object.entries(recalls)) all[`${split}.${name}`] = value;
    }
    return all;
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
