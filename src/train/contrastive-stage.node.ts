import { resolve } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { openBatches } from "../data/batches.node.ts";
import { captionTables } from "../data/captions.ts";
import { readManifest } from "../data/manifest.node.ts";
import type { ManifestItem } from "../data/manifest.ts";
import { readTextPairs } from "../data/text-pairs.node.ts";
import type { TextList } from "../data/text-pairs.ts";
import type { Param } from "../graph/tensor.ts";
import { InternVLC, type InternVLConfig } from "../models/internvl_c.ts";
import { Quantizer } from "../models/quantizer.ts";
import { parameters } from "../nn/module.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkPaths, naming } from "./check-recipe.node.ts";
import { type ContrastiveRecipe, modelConfigAt } from "./contrastive-recipe.ts";
import { buildContrastiveStep } from "./contrastive-step.ts";
import { exportModel } from "./export.node.ts";
import { initialWeights } from "./initial-weights.node.ts";
import { assignGroups } from "./param-groups.ts";
import { prepareTokenizer } from "./prepare-tokenizer.node.ts";
import { digestOf } from "./run-identity.ts";
import { spread } from "./spread.ts";
import type { Phase, PreparedStage, Stage, StepSource } from "./stage.ts";
import { stepInputs } from "./step-inputs.ts";
import type { Measured, TrainOptions } from "./train-options.ts";

/** Reads and checks what a contrastive recipe names. Throws as `train` does. */
export async function prepareContrastive(
  recipe: ContrastiveRecipe,
  recipePath: string,
  folder: string,
  options: TrainOptions,
): Promise<PreparedStage> {
  checkModel(recipe, recipePath);
  const init = recipe.init === undefined ? undefined : resolve(folder, recipe.init);
  const manifest = resolve(folder, recipe.data.manifest);
  const pairs = recipe.data.text_pairs && resolve(folder, recipe.data.text_pairs.file);
  await checkPaths(recipePath, {
    init,
    "data.manifest": manifest,
    "data.text_pairs.file": pairs,
    "tokenizer.folder": "folder" in recipe.tokenizer ? resolve(folder, recipe.tokenizer.folder) : undefined,
  });
  const items = await readManifest(manifest, { split: "train" });
  const textLists = pairs === undefined ? [] : await readTextPairs(pairs);
  checkTextPairs(recipe, recipePath, textLists.length);
  const heldOut = await readHeldOut(recipe, manifest);
  return {
    digest: digestOf(items, textLists),
    async open({ output, resumed, runtime }) {
      const tokenizer = await prepareTokenizer(recipe, { folder, output, items, textLists, resumed });
      return new ContrastiveStage({
        recipe,
        output,
        init,
        tokenizer,
        items,
        textLists,
        heldOut,
        runtime,
        options,
      });
    },
  };
}

interface ContrastiveParts {
  readonly recipe: ContrastiveRecipe;
  /** Absolute paths. */
  readonly output: string;
  readonly init: string | undefined;
  readonly tokenizer: Tokenizer;
  readonly items: readonly ManifestItem[];
  /** Texts of equal meaning; none where the recipe names no file. */
  readonly textLists: readonly TextList[];
  readonly heldOut: ReadonlyMap<string, readonly ManifestItem[]>;
  readonly runtime: Runtime;
  readonly options: TrainOptions;
}

/** Stage 1: pictures and captions are brought together. */
class ContrastiveStage implements Stage {
  readonly phases: readonly number[];
  readonly #parts: ContrastiveParts;

  constructor(parts: ContrastiveParts) {
    this.#parts = parts;
    this.phases = parts.recipe.phases.map(({ steps }) => steps);
  }

  paramsAt(phase: number): ReadonlyMap<string, Param> {
    return parameters(new InternVLC(this.#configAt(phase)));
  }

  initialWeights(rng: Rng): Promise<ReadonlyMap<string, HostTensor>> {
    return initialWeights(this.paramsAt(0), this.#parts.init, rng);
  }

  buildPhase(index: number): Phase {
    const { recipe, options } = this.#parts;
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
    const { evaluate } = options;
    return {
      params: parameters(model),
      graph,
      openSteps: (start, onBroken) => this.#openSteps(model, { patches, keptPatches }, start, onBroken),
      ...(evaluate && { measure: (weights) => this.#measure(config, weights, evaluate) }),
    };
  }

  async exportModel(weights: ReadonlyMap<string, HostTensor>): Promise<void> {
    const { recipe, output, runtime } = this.#parts;
    const config = this.#configAt(recipe.phases.length - 1);
    await using quantizer = new Quantizer(runtime);
    await exportModel(output, {
      model: new InternVLC(config),
      config: { ...config, max_text_tokens: recipe.max_text_tokens },
      weights,
      precision: recipe.export_precision,
      quantizer,
    });
  }

  #configAt(phase: number): InternVLConfig {
    const config = modelConfigAt(this.#parts.recipe, phase);
    const { vocabSize } = this.#parts.tokenizer;
    return { ...config, qllama_config: { ...config.qllama_config, vocab_size: vocabSize } };
  }

  #openSteps(
    model: InternVLC,
    kept: { readonly patches: number; readonly keptPatches: number },
    startStep: number,
    onBroken: (path: string, reason: string) => void,
  ): StepSource {
    const { recipe, items, textLists, tokenizer } = this.#parts;
    const { data, batch_size, seed } = recipe;
    const batches = openBatches({
      items,
      batchSize: batch_size,
      size: model.imageSize,
      augmentation: data.augmentation,
      ...(data.languages && { languages: data.languages }),
      firstCaptionShare: data.first_caption_share,
      ...(data.text_pairs && { textPairs: { lists: textLists, count: data.text_pairs.batch_size } }),
      seed: `${seed}/batches`,
      startStep,
      workers: data.workers,
      cacheBytes: data.cache_mb * 2 ** 20,
      onBroken: ({ path, reason }) => onBroken(path, reason),
    });
    const options = {
      maxTextTokens: recipe.max_text_tokens,
      ...kept,
      layers: model.cfg.vision_config.num_hidden_layers,
      dropPath: recipe.drop_path,
      rng: new Rng(seed),
    };
    return {
      next: async () => stepInputs(await batches.next(), tokenizer, options),
      [Symbol.asyncDispose]: () => batches[Symbol.asyncDispose](),
    };
  }

  async #measure(
    config: InternVLConfig,
    weights: ReadonlyMap<string, HostTensor>,
    evaluate: NonNullable<TrainOptions["evaluate"]>,
  ): Promise<Measured> {
    const { recipe, heldOut, runtime, tokenizer, options } = this.#parts;
    const recall: Record<string, number> = {};
    for (const [split, items] of heldOut) {
      const recalls = await evaluate({
        runtime,
        config,
        weights,
        tokenizer,
        items,
        languages: recipe.evaluation?.languages ?? [],
        maxTextTokens: recipe.max_text_tokens,
        ...(options.signal && { signal: options.signal }),
      });
      for (const [name, value] of Object.entries(recalls)) recall[`${split}.${name}`] = value;
    }
    return { recall };
  }
}

/** Builds each phase's model to find out before anything is read whether there is one, and what the groups train. */
function checkModel(recipe: ContrastiveRecipe, path: string): void {
  const models = naming(`${path}: model: `, () =>
    recipe.phases.map((_, phase) => new InternVLC(modelConfigAt(recipe, phase))),
  );
  naming(`${path}: `, () => assignGroups(parameters(models[0]!).keys(), recipe.optimizer.groups));
}

/** A batch draws every line once at most. */
function checkTextPairs({ data }: ContrastiveRecipe, recipePath: string, lines: number): void {
  const { text_pairs: pairs } = data;
  if (pairs && pairs.batch_size > lines)
    throw new ConfigError(
      `${recipePath}: data.text_pairs.batch_size: expected at most ${lines}, the lines of ${pairs.file}, found ${pairs.batch_size}`,
    );
}

/** The pictures to measure recall on, by split: the same ones at every measurement, spread evenly over the split. */
async function readHeldOut(
  { evaluation }: ContrastiveRecipe,
  manifest: string,
): Promise<Map<string, ManifestItem[]>> {
  const splits = new Map<string, ManifestItem[]>();
  for (const split of evaluation?.splits ?? []) {
    const items = await readManifest(manifest, { split });
    splits.set(split, spread(items, evaluation?.max_pictures));
  }
  return splits;
}
