import { castFloat, f32, type HostTensor } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { isQuantizedPrecision, type Precision } from "../core/precisions.ts";
import type { Rng } from "../core/rng.ts";
import type { Param } from "../graph/tensor.ts";
import type { VisionConfig } from "../models/intern_vit.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { interpolatePositions } from "../models/interpolate-positions.ts";
import { quantizationOf } from "../models/precision.ts";
import { stackExperts } from "../models/unstack-experts.ts";
import { parameters } from "../nn/module.ts";
import { dequantizeBlocks } from "../weights/block-quantized.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { VISION_ONLY } from "../weights/internvl-c-keys.ts";
import { CHAT_KEYS, COMPUTED_TABLES } from "../weights/internvl-chat-keys.ts";
import { type Drop, drop } from "../weights/key-map.ts";
import { loadCheckpoint } from "../weights/load-checkpoint.ts";
import { type OpenedCheckpoint, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { initialize } from "./initialize.ts";

const LANGUAGE = "language_model.";
const VISION = "vision_model.";

/** Where the parts of a chat model come from, as absolute paths; what is not named is random. */
export type ChatSources =
  | { readonly checkpoint: string }
  | { readonly vision_model?: string | undefined; readonly language_model?: string | undefined };

/**
 * What fine-tuning starts from, in f32. A vision tower may be of any checkpoint that holds one, quantised ones of this
 * program too; its position table is brought to the model's image size. Rows of the vocabulary that a checkpoint lacks
 * are the mean of those that it has. Throws a CheckpointError or ConfigError for one that does not fit the model.
 */
export async function initialChatWeights(
  model: InternVLChat,
  sources: ChatSources,
  rng: Rng,
): Promise<Map<string, HostTensor>> {
  const params = parameters(model);
  const of = (...prefixes: string[]) =>
    new Map([...params].filter(([key]) => prefixes.some((prefix) => key.startsWith(prefix))));
  if ("checkpoint" in sources)
    return read(params, await openCheckpoint(sources.checkpoint), sources.checkpoint, [
      ...COMPUTED_TABLES,
      TIED,
    ]);
  const { vision_model, language_model } = sources;
  const weights = initialize(params, rng);
  const take = (found: ReadonlyMap<string, HostTensor>) => {
    for (const [key, tensor] of found) weights.set(key, tensor);
  };
  if (vision_model !== undefined) {
    const opened = await openCheckpoint(vision_model);
    checkVision(model.vision_model.cfg, opened.config, vision_model);
    take(await read(of(VISION), opened, vision_model, VISION_ONLY));
  }
  if (language_model !== undefined) {
    const opened = withPrefix(await openCheckpoint(language_model));
    take(await read(of(LANGUAGE), opened, language_model, [...COMPUTED_TABLES, TIED, ...LANGUAGE_ONLY]));
  }
  return weights;
}

/** Fields that no shape tells. */
const VISION_FIELDS = ["num_attention_heads", "norm_type", "layer_norm_eps", "qk_normalization"] as const;

/** Throws a ConfigError where a tower would be computed in another way than it was trained. */
function checkVision(wanted: VisionConfig, config: unknown, where: string): void {
  const whole = (config ?? {}) as { readonly vision_config?: object };
  const found = (whole.vision_config ?? whole) as Readonly<Record<string, unknown>>;
  const problems = VISION_FIELDS.filter(
    (field) => found[field] !== undefined && found[field] !== wanted[field],
  );
  if (problems.length > 0)
    throw new ConfigError(
      `${where}: its vision tower has ${problems.map((f) => `${f} ${String(found[f])}`).join(", ")}, the recipe ${problems.map((f) => String(wanted[f])).join(", ")}; copy vision_config from its config.json`,
    );
}

/** A head that is the embedding table is stored beside it in some files. */
const TIED = drop("language_model.lm_head.weight", "the model's head is its embedding table");

const LANGUAGE_ONLY = [
  drop("vision_model.{rest*}", "the vision tower is not part of the language model"),
  drop("mlp1.{rest*}", "the projector is not part of the language model"),
] as const;

/** The names of a language model alone, as they are in a chat model. */
function withPrefix(opened: OpenedCheckpoint): OpenedCheckpoint {
  if (opened.layout !== undefined) return opened;
  const tensors = new Map([...opened.checkpoint.tensors].map(([key, t]) => [LANGUAGE + key, t]));
  return {
    ...opened,
    keys: CHAT_KEYS,
    checkpoint: { ...opened.checkpoint, keys: [...tensors.keys()], tensors },
  };
}

async function read(
  params: ReadonlyMap<string, Param>,
  { checkpoint: stored, keys, config }: OpenedCheckpoint,
  where: string,
  ignore: readonly Drop[],
): Promise<Map<string, HostTensor>> {
  const checkpoint = dequantized(stored, config, params, where);
  const shapes = new Map([...params].map(([key, { shape }]) => [key, { shape }]));
  const sources = await loadCheckpoint(shapes, checkpoint, {
    ...(keys && { keys }),
    ignore,
    resize: (key, tensor, wanted) => {
      if (key.endsWith("position_embedding")) return interpolatePositions(tensor, Math.sqrt(wanted[1]! - 1));
      return VOCABULARY.test(key) ? withRows(tensor, wanted[0]!) : undefined;
    },
  });
  const weights = new Map<string, HostTensor>();
  for (const [key, source] of sources) weights.set(key, castFloat(await checkpoint.read(source), "f32"));
  return weights;
}

/** Tables with a row a token. */
const VOCABULARY = /^language_model\.(lm_head|output|model\.embed_tokens|model\.tok_embeddings)\.weight$/;

/** A table [V, D] with more rows, which are the mean of its own; undefined where it has more than wanted. */
export function withRows(table: HostTensor, rows: number): HostTensor | undefined {
  const { data, shape } = castFloat(table, "f32") as HostTensor<"f32">;
  const [V, D] = shape as [number, number];
  if (V > rows) return undefined;
  const out = new Float32Array(rows * D);
  out.set(data);
  for (let d = 0; d < D; d++) {
    let sum = 0;
    for (let v = 0; v < V; v++) sum += data[v * D + d]!;
    for (let v = V; v < rows; v++) out[v * D + d] = sum / V;
  }
  return f32([rows, D], out);
}

/** A checkpoint with matrices in the place of their codes and scales. */
function dequantized(
  checkpoint: Checkpoint,
  config: unknown,
  params: ReadonlyMap<string, Param>,
  where: string,
): Checkpoint {
  const { precision } = (config ?? {}) as { readonly precision?: Precision };
  if (!isQuantizedPrecision(precision)) return checkpoint;
  if (precision === "w8a8")
    throw new ConfigError(`${where}: its weights are stored as w8a8, from which training cannot start`);
  const tensors = new Map(checkpoint.tensors);
  for (const [key, codes] of checkpoint.tensors) {
    if (!key.endsWith(".codes")) continue;
    const weight = key.slice(0, -".codes".length);
    const spec = quantizationOf(weight.replace(/\.weight$/, ""), precision);
    const scales = checkpoint.tensors.get(`${weight}.scales`);
    tensors.delete(key);
    tensors.delete(`${weight}.scales`);
    const [N, blocks] = codes.shape as [number, number];
    // A matrix that no parameter asks for is left out by name; its width within the last block does not matter.
    const [, K = blocks * spec.blockSize] = params.get(weight)?.shape ?? [];
    if (scales === undefined) continue;
    tensors.set(weight, {
      dtype: "f32",
      shape: [N, K],
      load: async () =>
        dequantizeBlocks({
          bits: spec.bits,
          blockSize: spec.blockSize,
          codes: (await checkpoint.read(codes)) as HostTensor<"u8">,
          scales: (await checkpoint.read(scales)) as HostTensor<"f32">,
          N,
          K,
        }),
    });
  }
  const stacked = stackExperts(params, tensors, (source) => checkpoint.read(source));
  return { ...checkpoint, keys: [...stacked.keys()], tensors: stacked };
}
