import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import {
  isQuantizedPrecision,
  type Precision,
  QUANTIZED_PRECISIONS,
  type QuantizedPrecision,
} from "../core/precisions.ts";
import { VisionConfig } from "./intern_vit.ts";
import { InternVLChatConfig } from "./internvl_chat.ts";
import { architectureOf, type LanguageModel, languageModel } from "./language_models.ts";
import { normalizeRope } from "./language-config.ts";
import { type Fields, isObject, relevant, VOCABULARY } from "./unused-fields.ts";

/** A chat model's configuration, in our names, whichever format it was published in. */
export interface ChatConfig {
  readonly chat: InternVLChatConfig;
  readonly language: LanguageModel;
  /** Whether the file is in the GitHub format or transformers' own: they prompt differently. */
  readonly format: "github" | "hf";
  /** The linear layers' weights are stored quantised: what our own training and `internvl quantize` write. */
  readonly precision?: QuantizedPrecision;
  /** Id that stands for an image token, where the configuration names it. */
  readonly imageTokenId?: number;
}

/** Whether a parsed `config.json` is that of a chat model. */
export const isChatConfig = (config: unknown): boolean =>
  isObject(config) &&
  (config.model_type === "internvl_chat" || (config.model_type === "internvl" && "text_config" in config));

/**
 * Reads `config.json` of InternVL-Chat 1.1 to 3.5 in either format. Throws a ConfigError that names architectures and
 * fields which are not known: an unread field might change the model.
 */
export function readChatConfig(config: unknown, where: string): ChatConfig {
  if (!isChatConfig(config))
    throw new ConfigError(
      `${where}: model_type is ${JSON.stringify((config as Fields | undefined)?.model_type)}; expected "internvl_chat", or "internvl" with a text_config`,
    );
  const { precision, fields } = splitPrecision(config as Fields, where);
  const read = fields.model_type === "internvl_chat" ? fromGitHub : fromNative;
  return { ...read(fields, where), ...(precision && { precision }) };
}

/** Our own field beside the published ones. Throws a ConfigError for what it cannot be. */
function splitPrecision(
  config: Fields,
  where: string,
): { readonly precision: QuantizedPrecision | undefined; readonly fields: Fields } {
  const { precision, ...fields } = config;
  if (precision !== undefined && !isQuantizedPrecision(precision as Precision))
    throw new ConfigError(
      `${where}: precision is ${JSON.stringify(precision)}; expected one of ${QUANTIZED_PRECISIONS.join(", ")}, or none`,
    );
  return { precision: precision as QuantizedPrecision | undefined, fields };
}

/** `config.json` of a language model alone, and how its weights are stored, as {@link ChatConfig} has it. */
export function readTextConfig(
  config: Fields,
  where: string,
): { readonly language: LanguageModel; readonly precision: QuantizedPrecision | undefined } {
  const { precision, fields } = splitPrecision(config, where);
  return { language: readLanguageConfig(fields, where), precision };
}

function fromGitHub(config: Fields, where: string): ChatConfig {
  const { vision_config, llm_config, ...rest } = config;
  if (!isObject(llm_config)) throw new ConfigError(`${where}: expected an object llm_config, found none`);
  const own = relevant(rest, InternVLChatConfig, GITHUB_UNUSED);
  const vision = relevant(isObject(vision_config) ? vision_config : {}, VisionConfig, VISION_UNUSED);
  return {
    format: "github",
    chat: parse({ ...own, vision_config: vision }, where),
    language: readLanguageConfig(llm_config, `${where}: llm_config`),
  };
}

/** Copies of the parts' fields, and of earlier training. */
const TOP_UNUSED = [...VOCABULARY, "hidden_size", "image_fold"];

const GITHUB_UNUSED = [...TOP_UNUSED, "model_type"];

/** Dropout is 0 in all published files; transformers' format keeps GitHub's names beside its own. */
const VISION_UNUSED = [
  ...VOCABULARY,
  ...["dropout", "attention_dropout", "attention_probs_dropout_prob", "drop_path_rate", "initializer_factor"],
];

function fromNative(config: Fields, where: string): ChatConfig {
  const { vision_config, text_config, ...rest } = config;
  if (!isObject(text_config) || !isObject(vision_config))
    throw new ConfigError(`${where}: expected objects vision_config and text_config`);
  const parsed = NativeConfig.safeParse(relevant(rest, NativeConfig, NATIVE_UNUSED));
  const vision = NativeVisionConfig.safeParse(relevant(vision_config, NativeVisionConfig, VISION_UNUSED));
  for (const result of [parsed, vision])
    if (!result.success) throw new ConfigError(`${where}: not supported:\n${indent(result.error)}`);
  const { image_token_id, vision_feature_layer, ps_version } = parsed.data!;
  const { image_size, patch_size, ...v } = vision.data!;
  return {
    format: "hf",
    ...(image_token_id !== undefined && { imageTokenId: image_token_id }),
    chat: parse(
      {
        select_layer: vision_feature_layer,
        ps_version,
        dynamic_image_size: true,
        use_thumbnail: true,
        max_dynamic_patch: 12,
        vision_config: {
          image_size: image_size[0],
          patch_size: patch_size[0],
          qkv_bias: v.attention_bias,
          qk_normalization: v.use_qk_norm,
          norm_type: v.norm_type,
          layer_norm_eps: v.layer_norm_eps,
          qk_norm_eps: NATIVE_QK_NORM_EPS,
          hidden_size: v.hidden_size,
          num_attention_heads: v.num_attention_heads,
          intermediate_size: v.intermediate_size,
          num_hidden_layers: v.num_hidden_layers,
        },
      },
      where,
    ),
    language: readLanguageConfig(text_config, `${where}: text_config`),
  };
}

/** Of transformers' norms of q and k in the tower, whatever layer_norm_eps says. */
const NATIVE_QK_NORM_EPS = 1e-6;

/** The top of transformers' configuration. */
const NativeConfig = z.strictObject({
  model_type: z.literal("internvl"),
  image_token_id: z.int().nonnegative().optional(),
  image_seq_length: z.int().positive().optional(),
  downsample_ratio: z.literal(0.5).default(0.5),
  projector_hidden_act: z.literal("gelu").default("gelu"),
  vision_feature_layer: z.int().default(-1),
  vision_feature_select_strategy: z.literal("default").default("default"),
  ps_version: z.literal("v2").default("v2"),
});

/** Of the GitHub format, kept by later releases of transformers; its processor says how a picture is cut. */
const NATIVE_UNUSED = [
  ...TOP_UNUSED,
  ...["force_image_size", "min_dynamic_patch", "max_dynamic_patch", "dynamic_image_size", "use_thumbnail"],
];

const side = z
  .union([z.int().positive(), z.tuple([z.int().positive(), z.int().positive()])])
  .transform((v) => (typeof v === "number" ? ([v, v] as const) : v))
  .refine(([h, w]) => h === w, "expected a square");

const NativeVisionConfig = z.strictObject({
  model_type: z.literal("internvl_vision").default("internvl_vision"),
  hidden_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  intermediate_size: z.int().positive(),
  attention_bias: z.boolean().default(false),
  use_qk_norm: z.boolean().default(false),
  hidden_act: z.literal("gelu").default("gelu"),
  norm_type: z.enum(["rms_norm", "layer_norm"]).default("layer_norm"),
  layer_norm_eps: z.number().positive().default(1e-6),
  image_size: side,
  patch_size: side,
  num_channels: z.literal(3).default(3),
  use_mask_token: z.literal(false).default(false),
  use_absolute_position_embeddings: z.literal(true).default(true),
  // A mean instead of a final norm: neither is part of the features.
  use_mean_pooling: z.literal(true).default(true),
  // Of training from scratch.
  layer_scale_init_value: z.number().optional(),
  initializer_range: z.number().optional(),
  attention_dropout: z.number().optional(),
  hidden_dropout_prob: z.number().optional(),
  projection_dropout: z.number().optional(),
});

function parse(fields: Fields, where: string): InternVLChatConfig {
  const result = InternVLChatConfig.safeParse(fields);
  if (result.success) return result.data;
  throw new ConfigError(`${where}: not a configuration of InternVL-Chat:\n${indent(result.error)}`);
}

const indent = (error: z.ZodError): string => z.prettifyError(error).replace(/^/gm, "  ");

/**
 * A language model's own configuration: `llm_config`, `text_config`, or that of a model of text alone. Throws a ConfigError
 * for classes and fields that are not known.
 */
export function readLanguageConfig(config: Fields, where: string): LanguageModel {
  const architecture = architectureOf(config, where);
  const own = withExperts(normalizeRope(config));
  return languageModel(architecture, withoutWindows(architecture, own, where), where);
}

/** Qwen's files name a window that they switch off; one that is switched on is not supported. */
function withoutWindows(architecture: string, config: Fields, where: string): Fields {
  if (!architecture.startsWith("Qwen") && architecture !== "LlamaForCausalLM") return config;
  const { use_sliding_window, sliding_window: _, layer_types, ...rest } = config;
  const isWindowed =
    use_sliding_window === true || [layer_types ?? []].flat().some((t) => t !== "full_attention");
  if (isWindowed)
    throw new ConfigError(
      `${where}: ${architecture} with a sliding window is not supported (use_sliding_window, layer_types)`,
    );
  return rest;
}

/** transformers 5 renamed Qwen3-MoE's `num_experts`. */
function withExperts(config: Fields): Fields {
  const { num_local_experts, ...rest } = config;
  const isRenamed = num_local_experts !== undefined && "moe_intermediate_size" in rest;
  return isRenamed ? { num_experts: num_local_experts, ...rest } : config;
}
