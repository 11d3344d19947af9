import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type HostTensor, i64 } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { type Batches, openBatches, type TrainingBatch } from "../data/batches.node.ts";
import { readManifest } from "../data/manifest.node.ts";
import type { ManifestItem } from "../data/manifest.ts";
import { InternVLC, type InternVLConfig } from "../models/internvl_c.ts";
import { applyPrecision } from "../models/precision.ts";
import { parameters } from "../nn/module.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { encodeForInternVLC } from "../text/clip-text.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { WITHOUT_QLLAMA } from "../weights/internvl-c-keys.ts";
import { loadCheckpoint } from "../weights/load-checkpoint.ts";
import { openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { writeSafetensors } from "../weights/write-safetensors.node.ts";
import { loadLatestState, saveState } from "./checkpoints.node.ts";
import { buildContrastiveStep, type ContrastiveStep } from "./contrastive-step.ts";
import { initialize } from "./initialize.ts";
import { MetricsLog } from "./metrics-log.node.ts";
import { drawDropPath, drawKeptPatches } from "./noise.ts";
import { parseRecipe, phaseAt, type Recipe, recipeIdentity, totalSteps } from "./recipe.ts";
import { cosineWithWarmup } from "./schedule.ts";
import { trainTokenizer } from "./train-tokenizer.node.ts";
import { initialState, type StepResult, Trainer, type TrainState } from "./trainer.ts";

/** A report of a running training, after a step. */
export interface TrainEvent extends StepResult {
  /** Steps done, and of how many. */
  readonly step: number;
  readonly steps: number;
  readonly imagesPerSecond: number;
  readonly etaSeconds: number;
  /** Held-out recalls by name, where they were just measured. */
  readonly recall?: Readonly<Record<string, number>>;
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
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: TrainEvent) => void;
  readonly threads?: number;
  /** Told of pictures that cannot be used. */
  readonly onBroken?: (path: string, reason: string) => void;
  /** Measures recall where the recipe asks for it. */
  readonly evaluate?: Evaluate;
}

export interface TrainSummary {
  readonly steps: number;
  /** Folder of the trained model: model.safetensors, config.json, tokenizer. */
  readonly output: string;
}

/**
 * Trains as a recipe (JSON) says, or continues a run of the same recipe from its newest checkpoint: the result is
 * bit-identical to that of a run that was never interrupted (on the same machine with the same number of threads).
 */
export async function train(recipePath: string, options: TrainOptions = {}): Promise<TrainSummary> {
  const folder = dirname(resolve(recipePath));
  const recipe = parseRecipe(await readJson(recipePath), recipePath);
  const output = resolve(folder, recipe.output);
  await mkdir(output, { recursive: true });
  const manifest = resolve(folder, recipe.data.manifest);
  const items = await readManifest(manifest, { split: "train" });
  const tokenizer = await prepareTokenizer(recipe, folder, output, items);
  const config: InternVLConfig = {
    ...recipe.model,
    qllama_config: { ...recipe.model.qllama_config, vocab_size: tokenizer.vocabSize },
  };
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const run = new ContrastiveRun(recipe, output, config, tokenizer, items, runtime, options);
  await run.run(await heldOut(recipe, manifest), recipe.init && resolve(folder, recipe.init));
  return { steps: totalSteps(recipe), output };
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((e: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: cannot be read (${e.code}); give the path of a recipe`);
  });
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ConfigError(`${path}: not JSON: ${(e as Error).message}`);
  }
}

async function prepareTokenizer(
  recipe: Recipe,
  folder: string,
  output: string,
  items: readonly ManifestItem[],
): Promise<Tokenizer> {
  if ("folder" in recipe.tokenizer) return openTokenizer(resolve(folder, recipe.tokenizer.folder));
  await trainTokenizer(join(output, "tokenizer.model"), items, recipe);
  return openTokenizer(output);
}

async function heldOut(recipe: Recipe, manifest: string): Promise<Map<string, ManifestItem[]>> {
  const { evaluation } = recipe;
  const splits = new Map<string, ManifestItem[]>();
  for (const split of evaluation?.splits ?? []) {
    const items = await readManifest(manifest, { split });
    // The same subset at every measurement: spread evenly over the split.
    const every = Math.max(1, items.length / (evaluation?.max_pictures ?? items.length));
    splits.set(
      split,
      items.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every)),
    );
  }
  return splits;
}

/** Texts are padded to a multiple of this, so that few different shapes occur. */
const TEXT_LENGTH_STEP = 8;

class ContrastiveRun {
  readonly #model: InternVLC;
  readonly #patches: number;
  readonly #rng: Rng;
  readonly #total: number;

  constructor(
    readonly recipe: Recipe,
    readonly output: string,
    readonly config: InternVLConfig,
    readonly tokenizer: Tokenizer,
    readonly items: readonly ManifestItem[],
    readonly runtime: Runtime,
    readonly options: TrainOptions,
  ) {
    this.#model = new InternVLC(config);
    const { image_size, patch_size } = this.#model.vision_model.cfg;
    this.#patches = (image_size / patch_size) ** 2;
    this.#rng = new Rng(recipe.seed);
    this.#total = totalSteps(recipe);
  }

  async run(heldOut: ReadonlyMap<string, ManifestItem[]>, init: string | undefined): Promise<void> {
    const identity = recipeIdentity(this.recipe);
    const checkpoints = join(this.output, "checkpoints");
    const saved = await loadLatestState(checkpoints, identity);
    let state: TrainState | undefined = saved?.state;
    let step = saved?.step ?? 0;
    const log = await MetricsLog.open(join(this.output, "metrics.jsonl"), step);
    await using batches = this.#openBatches(step);
    const pace = new Pace(step, this.#total, this.recipe.batch_size);
    while (step < this.#total) {
      const phase = phaseAt(this.recipe, step);
      const graph = this.#buildStep(phase);
      state ??= initialState(graph, await this.#initialWeights(init));
      await using trainer = await Trainer.create(this.runtime, graph, {
        state,
        frozen: new Map(),
        betas: this.recipe.optimizer.betas,
        startStep: step,
      });
      state = undefined;
      while (step < this.#total && phaseAt(this.recipe, step) === phase) {
        this.options.signal?.throwIfAborted();
        const rates = this.#rates(step);
        const result = await trainer.run(this.#inputs(await batches.next(), phase), rates);
        step = trainer.steps;
        if (!Number.isFinite(result.loss))
          throw new ConfigError(
            `train: the loss of step ${step} is ${result.loss}; lower the learning rates or lengthen the warm-up`,
          );
        const recall = await this.#recall(step, trainer, heldOut);
        const speed = pace.after(step);
        await log.add({ step, ...result, ...rates, ...speed, ...recall });
        this.options.onProgress?.({
          step,
          steps: this.#total,
          ...result,
          ...speed,
          ...(recall && { recall }),
        });
        if (step % this.recipe.checkpoint_every === 0 || step === this.#total)
          await saveState(checkpoints, step, await trainer.state(), identity, this.recipe.keep_checkpoints);
      }
      state = await trainer.state();
    }
    await this.#export(state ?? saved!.state);
  }

  #openBatches(startStep: number): Batches {
    const { data, batch_size, seed } = this.recipe;
    return openBatches({
      items: this.items,
      batchSize: batch_size,
      size: this.#model.imageSize,
      augmentation: data.augmentation,
      ...(data.languages && { languages: data.languages }),
      firstCaptionShare: data.first_caption_share,
      seed: `${seed}/batches`,
      startStep,
      workers: data.workers,
      cacheBytes: data.cache_mb * 2 ** 20,
      onBroken: ({ path, reason }) => this.options.onBroken?.(path, reason),
    });
  }

  #buildStep(phase: number): ContrastiveStep {
    const { optimizer, batch_size, drop_path } = this.recipe;
    const kept = this.#kept(phase);
    return buildContrastiveStep(this.#model, {
      batchSize: batch_size,
      images: "u8",
      ...(kept < this.#patches && { keptPatches: kept }),
      dropPath: drop_path > 0,
      betas: optimizer.betas,
      epsilon: optimizer.epsilon,
      maxGradNorm: optimizer.max_grad_norm,
      weightDecay: optimizer.weight_decay,
      groups: optimizer.groups,
    });
  }

  #kept(phase: number): number {
    return Math.max(1, Math.round(this.#patches * this.recipe.phases[phase]!.keep_patches));
  }

  async #initialWeights(init: string | undefined): Promise<ReadonlyMap<string, HostTensor>> {
    const params = parameters(this.#model);
    if (init === undefined) return initialize(params, this.#rng.fork("weights"));
    const { checkpoint, keys } = await openCheckpoint(init);
    const sources = await loadCheckpoint(params, checkpoint, {
      ...(keys && { keys }),
      ignore: WITHOUT_QLLAMA,
    });
    const weights = new Map<string, HostTensor>();
    for (const [key, source] of sources) weights.set(key, await checkpoint.read(source));
    return weights;
  }

  #rates(step: number): Record<string, number> {
    const factor = cosineWithWarmup(step, this.recipe.warmup_steps, this.#total);
    return Object.fromEntries(this.recipe.optimizer.groups.map((g) => [g.name, g.lr * factor]));
  }

  #inputs({ step, pixels, texts }: TrainingBatch, phase: number): Record<string, HostTensor> {
    const { batch_size: B, max_text_tokens: maxLength, drop_path } = this.recipe;
    const { ids, lengths } = encodeForInternVLC(this.tokenizer, texts, { maxLength });
    const inputs: Record<string, HostTensor> = {
      images: pixels,
      ids: padTo(ids, TEXT_LENGTH_STEP),
      eos: i64(
        [B],
        lengths.map((n) => n - 1),
      ),
    };
    const kept = this.#kept(phase);
    if (kept < this.#patches)
      inputs.kept = drawKeptPatches(this.#rng.fork(`patches/${step}`), B, this.#patches, kept);
    const branches = 2 * this.config.vision_config.num_hidden_layers;
    if (drop_path > 0)
      inputs.drop = drawDropPath(this.#rng.fork(`drop_path/${step}`), branches, B, drop_path);
    return inputs;
  }

  async #recall(step: number, trainer: Trainer, heldOut: ReadonlyMap<string, ManifestItem[]>) {
    const { evaluation } = this.recipe;
    const { evaluate, signal } = this.options;
    if (!evaluation || !evaluate || (step % evaluation.every !== 0 && step !== this.#total)) return undefined;
    const weights = await trainer.weights();
    const all: Record<string, number> = {};
    for (const [split, items] of heldOut) {
      const recalls = await evaluate({
        runtime: this.runtime,
        config: this.config,
        weights,
        tokenizer: this.tokenizer,
        items,
        languages: evaluation.languages,
        maxTextTokens: this.recipe.max_text_tokens,
        ...(signal && { signal }),
      });
      for (const [name, value] of Object.entries(recalls)) all[`${split}.${name}`] = value;
    }
    return all;
  }

  /** Writes the trained weights in the published layout, with config.json beside them. */
  async #export(state: TrainState): Promise<void> {
    const { export_precision: precision, max_text_tokens } = this.recipe;
    const model = new InternVLC(this.config);
    const trained = new Map([...parameters(model).keys()].map((key) => [key, state.get(key)!]));
    const weights = await applyPrecision(model, trained, precision, async (source) => source as HostTensor);
    await writeSafetensors(join(this.output, "model.safetensors"), weights);
    const quantized = precision === "w8" || precision === "w4";
    const config = { ...this.config, max_text_tokens, ...(quantized && { precision }) };
    await writeFile(join(this.output, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  }
}

/** ids [B, L] padded with 0 to the next multiple of `step` columns. */
function padTo(ids: HostTensor<"i64">, step: number): HostTensor<"i64"> {
  const [B, L] = ids.shape as [number, number];
  const width = Math.ceil(L / step) * step;
  const out = new BigInt64Array(B * width);
  for (let b = 0; b < B; b++) out.set(ids.data.subarray(b * L, (b + 1) * L), b * width);
  return { dtype: "i64", shape: [B, width], data: out };
}

/** Speed over the last steps, and the time left at that speed. */
class Pace {
  readonly #times: { step: number; at: number }[];

  constructor(
    start: number,
    readonly total: number,
    readonly batch: number,
  ) {
    this.#times = [{ step: start, at: performance.now() }];
  }

  after(step: number): { imagesPerSecond: number; etaSeconds: number } {
    this.#times.push({ step, at: performance.now() });
    if (this.#times.length > 20) this.#times.shift();
    const first = this.#times[0]!;
    const last = this.#times.at(-1)!;
    const secondsPerStep = (last.at - first.at) / 1000 / (last.step - first.step);
    return { imagesPerSecond: this.batch / secondsPerStep, etaSeconds: (this.total - step) * secondsPerStep };
  }
}
