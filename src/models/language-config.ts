import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { HeadLayout, LanguageModelShape } from "../nn/decoder.ts";
import type { RopeConfig } from "../nn/rope.ts";

const factor = z.number().positive();
const positions = z.int().positive();

/** Whole numbers that say how often a part is built: refused before the parts are made. */
export const count = z.int().positive().max(4096);

/** `rope_scaling` of published configurations, after {@link normalizeRope}. */
const RopeScalingConfig = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("linear"), factor }),
  z.strictObject({ type: z.literal("dynamic"), factor }),
  z.strictObject({
    type: z.literal("su"),
    short_factor: z.array(factor),
    long_factor: z.array(factor),
    original_max_position_embeddings: positions,
    partial_rotary_factor: z.literal(1).optional(),
  }),
  z.strictObject({
    type: z.literal("llama3"),
    factor,
    low_freq_factor: factor,
    high_freq_factor: factor,
    original_max_position_embeddings: positions,
  }),
  z.strictObject({
    type: z.literal("yarn"),
    factor,
    beta_fast: z.number().positive().default(32),
    beta_slow: z.number().positive().default(1),
    truncate: z.boolean().default(true),
    original_max_position_embeddings: positions,
  }),
]);

/** What the configurations of all language models have in common, in the published names. */
export const LANGUAGE_FIELDS = {
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: count,
  num_attention_heads: z.int().positive(),
  /** Default num_attention_heads. */
  num_key_value_heads: z.int().positive().nullish(),
  /** Width of a head; default hidden_size / num_attention_heads. */
  head_dim: z.int().positive().nullish(),
  max_position_embeddings: positions,
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal("silu").default("silu"),
  rope_theta: z.number().positive().default(10000),
  rope_scaling: RopeScalingConfig.nullable().default(null),
  tie_word_embeddings: z.boolean().default(false),
  initializer_range: z.number().positive().default(0.02),
} as const;

type LanguageFields = z.infer<z.ZodObject<typeof LANGUAGE_FIELDS>>;

/** The sizes by which a model of this configuration is run. Throws a ConfigError when its heads do not divide. */
export function shapeOf(cfg: LanguageFields): LanguageModelShape {
  const { vocab_size, hidden_size, num_hidden_layers, num_attention_heads: heads } = cfg;
  const num_key_value_heads = cfg.num_key_value_heads ?? heads;
  const head_dim = cfg.head_dim ?? hidden_size / heads;
  if (!Number.isInteger(head_dim) || head_dim % 2 !== 0 || heads % num_key_value_heads !== 0)
    throw new ConfigError(
      `language model: ${heads} heads of ${head_dim} channels in ${num_key_value_heads} groups; expected an even number of channels and heads that the groups divide`,
    );
  const rope: RopeConfig = {
    rope_theta: cfg.rope_theta,
    head_dim,
    max_position_embeddings: cfg.max_position_embeddings,
    ...(cfg.rope_scaling && { scaling: cfg.rope_scaling }),
  };
  return {
    vocab_size,
    hidden_size,
    num_hidden_layers,
    num_attention_heads: heads,
    num_key_value_heads,
    rope,
  };
}

/** The heads of its self-attention. */
export const layoutOf = (cfg: Parameters<typeof shapeOf>[0]): HeadLayout => ({
  heads: cfg.num_attention_heads,
  groups: shapeOf(cfg).num_key_value_heads,
  width: shapeOf(cfg).rope.head_dim,
});

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Names under which the same scaling was published. */
const ROPE_TYPES: Readonly<Record<string, string>> = { longrope: "su" };

/** Scalings that are told from which length on: all positions where the file does not say, as in transformers. */
const FROM_A_LENGTH = new Set<unknown>(["su", "llama3", "yarn"]);

/**
 * Brings the ways in which rotary angles were published to one: `rope_theta` and `rope_scaling: { type, … }`, null for
 * none. transformers 5 writes `rope_parameters: { rope_type, rope_theta, … }`, Phi-3 the trained length beside them.
 */
export function normalizeRope(config: Fields): Record<string, unknown> {
  const { rope_parameters, original_max_position_embeddings, ...rest } = config;
  const given = isFields(rope_parameters) ? rope_parameters : rest.rope_scaling;
  if (!isFields(given)) return { ...rest, rope_scaling: null };
  // Nobody reads attn_factor: transformers has attention_factor.
  const { rope_type, type = rope_type, rope_theta = rest.rope_theta, attn_factor: _, ...scaling } = given;
  const theta = rope_theta === undefined ? {} : { rope_theta };
  if (type === "default" || type === undefined) return { ...rest, ...theta, rope_scaling: null };
  const name = ROPE_TYPES[String(type)] ?? type;
  const said = scaling.original_max_position_embeddings ?? original_max_position_embeddings;
  const trained = said ?? (FROM_A_LENGTH.has(name) ? rest.max_position_embeddings : undefined);
  const length = trained === undefined ? {} : { original_max_position_embeddings: trained };
  return { ...rest, ...theta, rope_scaling: { ...scaling, ...length, type: name } };
}
