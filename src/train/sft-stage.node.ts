import { resolve } from "node:path";
import type { HostTensor } from "../core/array.ts";
import { ConfigError, UsageError } from "../core/errors.ts";
import { isQuantizedPrecision } from "../core/precisions.ts";
import type { Rng } from "../core/rng.ts";
import { openPictureBatches } from "../data/batches.node.ts";
import { readAnnotation } from "../data/conversations.node.ts";
import type { ConversationRow } from "../data/conversations.ts";
import type { Param } from "../graph/tensor.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { Quantizer } from "../models/quantizer.ts";
import { parameters } from "../nn/module.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { IMAGE_TOKENS } from "../text/prompt-segments.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  encodeTraining,
  plainStretches,
  specialSpellings,
  type TrainingText,
  type TrainingTextOptions,
} from "../text/training-text.ts";
import { type ChatBlueprint, chatBlueprint, readBlueprint } from "./chat-blueprint.node.ts";
import { checkPaths, naming } from "./check-recipe.node.ts";
import { exportModel } from "./export.node.ts";
import { heldOutLoss } from "./held-out-loss.node.ts";
import { type ChatSources, initialChatWeights } from "./initial-chat-weights.node.ts";
import { assignGroups } from "./param-groups.ts";
import { placeTokenizer, type TokenizerSource } from "./prepare-tokenizer.node.ts";
import { digestOfLines } from "./run-identity.ts";
import { type SftInputOptions, sftInputs } from "./sft-inputs.ts";
import type { SftRecipe } from "./sft-recipe.ts";
import { buildSftStep } from "./sft-step.ts";
import { addSpecialTokens } from "./special-tokens.node.ts";
import { spread } from "./spread.ts";
import type { Phase, PreparedStage, Stage, StepSource } from "./stage.ts";
import type { TrainOptions } from "./train-options.ts";

/** A row with what is trained of it. */
export interface SftRow {
  /** The picture; absent for a text alone. */
  readonly path?: string;
  readonly text: TrainingText;
}

/** Reads and checks what a recipe of fine-tuning names. Throws as `train` does. */
export async function prepareSft(
  recipe: SftRecipe,
  recipePath: string,
  folder: string,
  options: TrainOptions,
): Promise<PreparedStage> {
  const at = <P extends string | undefined>(path: P) =>
    (path === undefined ? undefined : resolve(folder, path)) as P;
  const { model, data, evaluation } = recipe;
  const annotation = at(data.annotation);
  const root = at(data.root) ?? resolve(annotation, "..");
  const heldOutFile = at(evaluation?.annotation);
  const whole = "checkpoint" in model ? at(model.checkpoint) : undefined;
  const parts = "checkpoint" in model ? undefined : model;
  const sources: ChatSources =
    whole !== undefined
      ? { checkpoint: whole }
      : { vision_model: at(parts?.vision_model), language_model: at(parts?.language_model) };
  const tokenizerFolder =
    whole ?? (parts && "folder" in parts.tokenizer ? at(parts.tokenizer.folder) : undefined);
  await checkPaths(recipePath, {
    "model.checkpoint": whole,
    "model.vision_model": at(parts?.vision_model),
    "model.language_model": at(parts?.language_model),
    "model.tokenizer.folder": whole === undefined ? tokenizerFolder : undefined,
    "data.annotation": annotation,
    "data.root": root,
    "evaluation.annotation": heldOutFile,
  });
  const blueprint =
    whole !== undefined
      ? await readBlueprint(whole)
      : naming(`${recipePath}: `, () => chatBlueprint(parts!.config, "model.config"));
  const built = naming(`${recipePath}: model: `, () => blueprint.create(1));
  naming(`${recipePath}: `, () => assignGroups(parameters(built).keys(), recipe.optimizer.groups));
  const rows = await readAnnotation(annotation, root);
  const heldOut = heldOutFile === undefined ? [] : await readAnnotation(heldOutFile, root);
  const { template, systemMessage } = blueprint;
  const texts: TrainingTextOptions = { template, systemMessage, tokensPerTile: built.tokensPerTile };
  const train = parts && "train" in parts.tokenizer ? parts.tokenizer.train : undefined;
  const source: TokenizerSource = train
    ? { train, texts: () => stretches(rows, texts) }
    : { folder: tokenizerFolder! };
  return {
    digest: digestOfLines(rows.map(({ image, messages }) => [image, messages])),
    async open({ output, resumed, runtime }) {
      await placeTokenizer(source, { output, resumed });
      const tokenizer = await addSpecialTokens(output, specialSpellings(template));
      const encode = (rows: readonly ConversationRow[], file: string) =>
        encodeRows(rows, tokenizer, texts, recipe.max_tokens, (reason) => options.onBroken?.(file, reason));
      const encoded = encode(rows, annotation);
      if (encoded.length < recipe.batch_size)
        throw new ConfigError(
          `${recipePath}: batch_size: expected at most the ${encoded.length} rows of ${data.annotation} that can be trained on, found ${recipe.batch_size}`,
        );
      const measured = heldOutFile === undefined ? [] : encode(heldOut, heldOutFile);
      if (evaluation && measured.length === 0)
        throw new ConfigError(
          `${recipePath}: evaluation.annotation: expected rows to measure the loss on, found none that can be used`,
        );
      return new SftStage({
        recipe,
        output,
        blueprint,
        sources,
        tokenizer,
        rows: encoded,
        heldOut: spread(measured, evaluation?.max_rows),
        runtime,
        options,
      });
    },
  };
}

/** Every stretch of the rows' texts, alike. */
function* stretches(
  rows: readonly ConversationRow[],
  options: TrainingTextOptions,
): Generator<[text: string, weight: number]> {
  for (const { messages } of rows) for (const text of plainStretches(messages, options)) yield [text, 1];
}

/** The rows that can be trained on; tells how many cannot, and why. */
function encodeRows(
  rows: readonly ConversationRow[],
  tokenizer: Tokenizer,
  options: TrainingTextOptions,
  maxTokens: number,
  tell: (reason: string) => void,
): SftRow[] {
  const encoded: SftRow[] = [];
  const wrong: string[] = [];
  let tooLong = 0;
  for (const { line, path, messages } of rows) {
    try {
      const text = encodeTraining(tokenizer, messages, options);
      if (text.ids.length > maxTokens) tooLong++;
      else encoded.push({ text, ...(path !== undefined && { path }) });
    } catch (e) {
      if (!(e instanceof UsageError)) throw e;
      wrong.push(`line ${line}: ${e.message}`);
    }
  }
  if (tooLong > 0) tell(`${tooLong} of ${rows.length} rows are longer than ${maxTokens} tokens (max_tokens)`);
  if (wrong.length > 0)
    tell(`${wrong.length} of ${rows.length} rows cannot be trained on (first: ${wrong[0]})`);
  return encoded;
}

interface SftParts {
  readonly recipe: SftRecipe;
  /** Absolute path. */
  readonly output: string;
  readonly blueprint: ChatBlueprint;
  readonly sources: ChatSources;
  readonly tokenizer: Tokenizer;
  readonly rows: readonly SftRow[];
  readonly heldOut: readonly SftRow[];
  readonly runtime: Runtime;
  readonly options: TrainOptions;
}

/** Supervised fine-tuning: a chat model learns the answers of conversations. */
class SftStage implements Stage {
  readonly phases: readonly number[];
  readonly #parts: SftParts;
  readonly #inputOptions: SftInputOptions;

  constructor(parts: SftParts) {
    this.#parts = parts;
    this.phases = [parts.recipe.steps];
    this.#inputOptions = {
      reduction: parts.recipe.loss_reduction,
      tokensPerTile: this.#model().tokensPerTile,
      contextId: parts.tokenizer.idOf(IMAGE_TOKENS.context)!,
    };
  }

  paramsAt(): ReadonlyMap<string, Param> {
    return parameters(this.#model());
  }

  initialWeights(rng: Rng): Promise<ReadonlyMap<string, HostTensor>> {
    return initialChatWeights(this.#model(), this.#parts.sources, rng);
  }

  buildPhase(): Phase {
    const { optimizer, batch_size, max_tokens } = this.#parts.recipe;
    const model = this.#model();
    const graph = buildSftStep(model, {
      batchSize: batch_size,
      maxTokens: max_tokens,
      betas: optimizer.betas,
      epsilon: optimizer.epsilon,
      maxGradNorm: optimizer.max_grad_norm,
      weightDecay: optimizer.weight_decay,
      groups: optimizer.groups,
    });
    return {
      params: parameters(model),
      graph,
      openSteps: (start, onBroken) => this.#openSteps(model.imageSize, start, onBroken),
      measure: async (weights) => ({ heldOutLoss: await this.#measure(weights) }),
    };
  }

  async exportModel(weights: ReadonlyMap<string, HostTensor>): Promise<void> {
    const { recipe, output, blueprint, tokenizer, runtime } = this.#parts;
    const { vocabSize } = tokenizer;
    const precision = recipe.export_precision;
    const all = new Map(weights);
    // A head that is the embedding table becomes a matrix of its own where matrices are quantised and tables are not.
    const model = blueprint.create(vocabSize, isQuantizedPrecision(precision) ? { tied: false } : {});
    for (const key of parameters(model).keys()) if (!all.has(key)) all.set(key, weights.get(TABLE)!);
    await using quantizer = new Quantizer(runtime);
    const config = blueprint.config(vocabSize);
    await exportModel(output, { model, config, weights: all, precision, quantizer });
  }

  #model(): InternVLChat {
    return this.#parts.blueprint.create(this.#parts.tokenizer.vocabSize);
  }

  #openSteps(size: number, startStep: number, onBroken: (path: string, reason: string) => void): StepSource {
    const { recipe, rows } = this.#parts;
    const { data, batch_size, seed } = recipe;
    const batches = openPictureBatches({
      items: rows.map(({ path }) => ({ weight: 1, ...(path !== undefined && { path }) })),
      batchSize: batch_size,
      size,
      ...(data.augmentation && { augmentation: data.augmentation }),
      seed: `${seed}/batches`,
      startStep,
      workers: data.workers,
      cacheBytes: data.cache_mb * 2 ** 20,
      // As in use: chat models do not see what transparency hides.
      decoding: { alpha: "drop" },
      onBroken: ({ path, reason }) => onBroken(path, reason),
    });
    return {
      next: async () => {
        const { items, pixels } = await batches.next();
        return sftInputs(
          items.map((i) => rows[i]!.text),
          pixels,
          this.#inputOptions,
        );
      },
      [Symbol.asyncDispose]: () => batches[Symbol.asyncDispose](),
    };
  }

  #measure(weights: ReadonlyMap<string, HostTensor>): Promise<number> {
    const { recipe, heldOut, runtime, options } = this.#parts;
    return heldOutLoss({
      model: this.#model(),
      weights,
      rows: heldOut,
      runtime,
      batchSize: recipe.batch_size,
      maxTokens: recipe.max_tokens,
      inputs: this.#inputOptions,
      ...(options.signal && { signal: options.signal }),
    });
  }
}

/** The table that a tied head is. */
const TABLE = "language_model.model.embed_tokens.weight";
