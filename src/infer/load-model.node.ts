import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { toF32 } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { type Precision, QUANTIZED_PRECISIONS } from "../core/precisions.ts";
import { InternVLC, InternVLConfig } from "../models/internvl_c.ts";
import { joinProjections } from "../models/join-projections.ts";
import { publishedModel } from "../models/names.ts";
import { applyPrecision, restoreTree } from "../models/precision.ts";
import { Quantizer } from "../models/quantizer.ts";
import { withoutUnused } from "../models/unused-fields.ts";
import { parameters } from "../nn/module.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime, TensorSource } from "../runtime/runtime.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import { WITHOUT_QLLAMA } from "../weights/internvl-c-keys.ts";
import { loadCheckpoint } from "../weights/load-checkpoint.ts";
import { type OpenedCheckpoint, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { AsyncDisposables } from "./async-disposables.ts";
import { checkInt8Layers } from "./check-int8.ts";
import { createContrastiveEmbedder } from "./contrastive-embedder.ts";
import type { Embedder } from "./embedder.ts";
import { resizePositions } from "./resize-positions.ts";
import { weightsId } from "./weights-id.node.ts";

export interface LoadOptions {
  /** Threads of the runtime; default: the physical cores. */
  readonly threads?: number;
  /** How weights are kept and multiplied; default as in the file. */
  readonly precision?: Precision;
  /** Side of the input pictures; the position table is interpolated. Default: the configuration's. */
  readonly imageSize?: number;
}

/** An InternVL-C checkpoint with its weights placed: byte ranges of its files, or made from them when loaded. */
export interface LoadedModel {
  readonly model: InternVLC;
  readonly weights: Map<string, TensorSource>;
  readonly opened: OpenedCheckpoint;
}

/** What our own training adds to config.json beside the published fields. */
const Extra = z.looseObject({
  /** The limit on texts that the model was trained with. */
  max_text_tokens: z.int().min(3).optional(),
  /** The linear layers' weights are stored quantised. */
  precision: z.enum(QUANTIZED_PRECISIONS).optional(),
});

/**
 * Opens an InternVL-C model: a folder or file in one of the published formats (see weights/open-checkpoint.node.ts).
 * Throws CheckpointError or ConfigError with everything that does not fit.
 */
export async function openModel(
  path: string,
  options: LoadOptions & { readonly quantizer?: Quantizer } = {},
): Promise<LoadedModel> {
  const opened = await openCheckpoint(path);
  const cfg = readConfig(path, opened);
  if (options.imageSize) cfg.force_image_size = options.imageSize;
  const model = new InternVLC(cfg);
  const stored = Extra.parse(opened.config ?? {}).precision;
  if (stored) restoreTree(model, stored, [options.precision], path);
  // Shapes only: a weight keeps the dtype of the file and is cast, if at all, where the graph uses it.
  const shapes = new Map([...parameters(model)].map(([key, { shape }]) => [key, { shape }]));
  const loaded = await loadCheckpoint(shapes, opened.checkpoint, {
    ...(opened.keys && { keys: opened.keys }),
    ignore: WITHOUT_QLLAMA,
    // Only where it was asked for: a table of another size than the configuration says is a wrong configuration.
    ...(options.imageSize && { resize: resizePositions }),
  });
  const read = (source: TensorSource) => opened.checkpoint.read(source);
  const weights = applyPrecision(model, loaded, options.precision, { read, quantizer: options.quantizer });
  return { model, weights, opened };
}

function readConfig(path: string, opened: OpenedCheckpoint): InternVLConfig {
  const { config, published } = opened;
  if (config === undefined) {
    const model = published === undefined ? undefined : publishedModel(published);
    if (model?.kind === "internvl_c") return model.config;
    throw new CheckpointError(
      model === undefined
        ? `${path}: no config.json beside the weights, and their shapes are not those of a published InternVL-C; put the model's config.json into the folder`
        : `${path}: expected InternVL-C, found the weights of ${published}, which has no text encoder; give a checkpoint of InternVL-C or -G`,
    );
  }
  const result = InternVLConfig.safeParse(withoutUnused(config));
  if (!result.success)
    throw new ConfigError(
      `${path}: config.json is not that of InternVL-C or -G:\n${z.prettifyError(result.error).replace(/^/gm, "  ")}`,
    );
  return result.data;
}

/**
 * Loads an InternVL-C model with its tokenizer, ready to embed. The runtime and the weights belong to the embedder
 * and are released with it.
 */
export async function loadEmbedder(path: string, options: LoadOptions = {}): Promise<Embedder> {
  const stack = new AsyncDisposables();
  try {
    const runtime: Runtime = stack.own(
      await createRuntime(options.threads ? { threads: options.threads } : {}),
    );
    await using quantizer = new Quantizer(runtime);
    const { model, weights, opened } = await openModel(path, { ...options, quantizer });
    const folder = (await stat(path)).isDirectory() ? path : dirname(path);
    const tokenizer = await openTokenizer(folder);
    const scale = Math.exp(toF32(await opened.checkpoint.read(weights.get("logit_scale")!)).data[0]!);
    const { max_text_tokens } = Extra.parse(opened.config ?? {});
    await checkInt8Layers(runtime, model);
    const joined = joinProjections(model, weights, (source) => opened.checkpoint.read(source));
    const set = stack.own(await runtime.weights(joined));
    const embedder = stack.own(
      await createContrastiveEmbedder({
        id: await weightsId(path, weights, opened.checkpoint, options),
        scale,
        model,
        weights: set,
        tokenizer,
        runtime,
        ...(max_text_tokens && { maxTextTokens: max_text_tokens }),
      }),
    );
    const { id, dimension, imageSize } = embedder;
    return {
      id,
      dimension,
      imageSize,
      scale,
      embedImages: (images, options) => embedder.embedImages(images, options),
      embedTexts: (texts, options) => embedder.embedTexts(texts, options),
      countTokens: (texts) => embedder.countTokens(texts),
      [Symbol.asyncDispose]: () => stack.dispose(),
    };
  } catch (error) {
    // What could not be released follows from the first error, which is the one to tell.
    await stack.dispose().catch(() => {});
    throw error;
  }
}
