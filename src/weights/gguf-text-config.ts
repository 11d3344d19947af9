import { CheckpointError } from "../core/errors.ts";
import { numbersOf } from "./ggml-rows.ts";
import type { GgufFile } from "./gguf.ts";
import { GgufFields } from "./gguf-fields.ts";
import type { TextArchitecture } from "./gguf-text-keys.ts";

/** What a rotary embedding is stretched by, as in a published `config.json`. */
export type RopeScaling = Readonly<Record<string, string | number | boolean | readonly number[]>>;

/** Fields of a published `config.json` of a language model; those of its architecture alone are among `extra`. */
export interface GgufTextConfig {
  readonly architectures: readonly [string];
  readonly model_type: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly hidden_act: "silu";
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling: RopeScaling | null;
  readonly tie_word_embeddings: boolean;
  readonly [extra: string]: unknown;
}

/** Where a file does not say: what llama.cpp takes. */
const DEFAULT_THETA = 10000;

/** The configuration that the metadata of a file describes. Throws a CheckpointError when it lacks a number. */
export async function readTextConfig(
  file: GgufFile,
  architecture: TextArchitecture,
): Promise<GgufTextConfig> {
  const fields = new GgufFields(file, `${file.metadata.get("general.architecture")}`);
  const [vocab_size, hidden_size] = file.tensors.get("token_embd.weight")?.shape ?? [];
  const width = fields.int("embedding_length");
  if (vocab_size === undefined || hidden_size !== width)
    throw new CheckpointError(
      `${file.name}: token_embd.weight must be [words, ${width}], found ${hidden_size === undefined ? "none" : `[${vocab_size}, ${hidden_size}]`}`,
    );
  const heads = fields.int("attention.head_count");
  const rotary = fields.optionalInt("rope.dimension_count");
  const head_dim = fields.optionalInt("attention.key_length") ?? width / heads;
  const groups = fields.optionalInt("attention.head_count_kv") ?? heads;
  if (
    !(Number.isInteger(head_dim) && head_dim > 0 && head_dim % 2 === 0 && groups > 0 && heads % groups === 0)
  )
    throw new CheckpointError(
      `${file.name}: its metadata says ${heads} heads in ${groups} groups of ${head_dim} numbers each; the file is damaged`,
    );
  const layers = fields.int("block_count");
  const hasLayer = (i: number) => file.tensors.has(`blk.${i}.attn_norm.weight`);
  if (layers === 0 || !hasLayer(layers - 1) || hasLayer(layers))
    throw new CheckpointError(`${file.name}: its metadata says ${layers} layers, its tensors are of others`);
  const original = fields.optionalInt("rope.scaling.original_context_length");
  return {
    architectures: [architecture.className],
    model_type: architecture.modelType,
    vocab_size,
    hidden_size,
    intermediate_size: fields.optionalInt("feed_forward_length") ?? fields.int("expert_feed_forward_length"),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim,
    hidden_act: "silu",
    max_position_embeddings: fields.int("context_length"),
    ...(original === undefined ? {} : { original_max_position_embeddings: original }),
    rms_norm_eps: fields.float("attention.layer_norm_rms_epsilon"),
    rope_theta: fields.optionalFloat("rope.freq_base") ?? DEFAULT_THETA,
    rope_scaling: await readScaling(file, fields, head_dim),
    ...(rotary === undefined || rotary === head_dim ? {} : { partial_rotary_factor: rotary / head_dim }),
    tie_word_embeddings: !file.tensors.has("output.weight"),
    ...special(file),
    ...ofItsOwn(file, fields, architecture),
  };
}

/** Ids of special tokens, where the file's tokenizer states them. */
function special(file: GgufFile): Record<string, number> {
  const tokenizer = new GgufFields(file, "tokenizer.ggml");
  const ids = ["bos", "eos", "padding"].map((name) => tokenizer.optionalInt(`${name}_token_id`));
  const names = ["bos_token_id", "eos_token_id", "pad_token_id"];
  return Object.fromEntries(names.flatMap((name, i) => (ids[i] === undefined ? [] : [[name, ids[i]]])));
}

/** Fields that one architecture has. */
function ofItsOwn(
  file: GgufFile,
  fields: GgufFields,
  { modelType }: TextArchitecture,
): Record<string, unknown> {
  const has = (name: string) => file.tensors.has(`blk.0.${name}`);
  switch (modelType) {
    case "llama":
      return { attention_bias: has("attn_q.bias"), mlp_bias: has("ffn_up.bias") };
    case "qwen3":
      return { attention_bias: has("attn_q.bias") };
    case "internlm2":
      return { bias: has("attn_q.bias") };
    case "phi3":
      // 0 stands for none.
      return { sliding_window: fields.optionalInt("attention.sliding_window") || null };
    case "qwen3_moe":
      return {
        attention_bias: has("attn_q.bias"),
        moe_intermediate_size: fields.int("expert_feed_forward_length"),
        num_experts: fields.int("expert_count"),
        num_experts_per_tok: fields.int("expert_used_count"),
        norm_topk_prob: true,
        decoder_sparse_step: 1,
        mlp_only_layers: [],
      };
    case "gpt_oss":
      return {
        attention_bias: true,
        intermediate_size: fields.int("expert_feed_forward_length"),
        num_local_experts: fields.int("expert_count"),
        num_experts_per_tok: fields.int("expert_used_count"),
        sliding_window: fields.int("attention.sliding_window"),
      };
    default:
      return {};
  }
}

async function readScaling(
  file: GgufFile,
  fields: GgufFields,
  head_dim: number,
): Promise<RopeScaling | null> {
  const table = async (name: string) => {
    const tensor = file.tensors.get(name);
    return tensor === undefined ? undefined : numbersOf(file, tensor);
  };
  const long_factor = await table("rope_factors_long.weight");
  const short_factor = await table("rope_factors_short.weight");
  if (long_factor !== undefined && short_factor !== undefined)
    return { rope_type: "longrope", long_factor, short_factor };
  const factors = await table("rope_freqs.weight");
  if (factors?.some((f) => f !== 1)) return llama3Scaling(file, fields, head_dim, factors);
  const rope_type = fields.text("rope.scaling.type") ?? "none";
  if (rope_type === "none") return null;
  const factor = fields.float("rope.scaling.factor");
  if (rope_type === "linear") return { rope_type, factor };
  if (rope_type !== "yarn")
    throw new CheckpointError(
      `${file.name}: its rotary embedding is scaled by "${rope_type}", expected linear, yarn or tables of factors`,
    );
  return {
    rope_type,
    factor,
    original_max_position_embeddings: fields.int("rope.scaling.original_context_length"),
    beta_fast: fields.optionalFloat("rope.scaling.yarn_beta_fast") ?? 32,
    beta_slow: fields.optionalFloat("rope.scaling.yarn_beta_slow") ?? 1,
    // The file does not say; GPT-OSS is published with it, others with its default.
    ...(fields.prefix === "gpt-oss" ? { truncate: false } : {}),
  };
}

/** Llama 3.1's scaling, which a file holds as a table; its other numbers are the same wherever it was published. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/**
 * The published scaling whose table these factors are (transformers, modeling_rope_utils.py). Throws a CheckpointError
 * when they are none's.
 */
function llama3Scaling(
  file: GgufFile,
  fields: GgufFields,
  head_dim: number,
  factors: readonly number[],
): RopeScaling {
  const factor = factors.reduce((a, b) => Math.max(a, b));
  const theta = fields.optionalFloat("rope.freq_base") ?? DEFAULT_THETA;
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = LLAMA3;
  const wanted = Array.from(factors, (_, i) => {
    const turns = length / (2 * Math.PI * theta ** ((2 * i) / head_dim));
    const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return 1 / ((1 - smooth) / factor + smooth);
  });
  const fits =
    factors.length === head_dim / 2 && wanted.every((w, i) => Math.abs(w / factors[i]! - 1) < 1e-3);
  if (!fits)
    throw new CheckpointError(
      `${file.name}: the factors in rope_freqs.weight are not those of Llama 3.1; other tables cannot be read`,
    );
  return { rope_type: "llama3", factor, ...LLAMA3 };
}
