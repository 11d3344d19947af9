/**
 * Fields of published `config.json` files that have no influence on what is computed here. A field that is neither read
 * nor listed is an error, unless it is null or private (`_…`): it might change the model.
 */

/**
 * transformers writes all fields of its `PretrainedConfig` into the nested parts of a configuration, whether the model
 * reads them or not (configuration_utils.py, releases 4.30 to 4.37): its own bookkeeping, defaults of text generation,
 * class labels, switches for what a forward pass returns. Later ones keep whatever an older file had.
 */
const LIBRARY: readonly string[] = [
  ...["architectures", "auto_map", "dtype", "torch_dtype", "torchscript", "transformers_version"],
  ...["tf_legacy_loss", "use_bfloat16", "use_cache", "pruned_heads", "chunk_size_feed_forward"],
  ...["add_cross_attention", "cross_attention_hidden_size", "is_decoder", "is_encoder_decoder"],
  ...["tie_encoder_decoder", "decoder_start_token_id", "sep_token_id", "prefix", "tokenizer_class"],
  ...["max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups"],
  ...["diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"],
  ...["length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"],
  ...["num_return_sequences", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"],
  ...["exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"],
  ...["finetuning_task", "id2label", "label2id", "task_specific_params", "problem_type"],
  ...["output_attentions", "output_hidden_states", "output_scores", "return_dict", "return_dict_in_generate"],
  // Which kernel computes attention is no property of a model.
  ...["attn_implementation", "use_flash_attn"],
];

/** Of a mixture of experts that InternVL3's towers and language models carry and do not use: `use_moe` is false. */
const MIXTURE: readonly string[] = [
  ...["capacity_factor", "eval_capacity_factor", "ep_size", "laux_allreduce", "moe_coeff_ratio"],
  ...["moe_intermediate_size", "moe_output_scale", "noisy_gate_policy", "num_experts", "num_routed_experts"],
  ...["num_shared_experts", "shared_expert_intermediate_size", "use_residual", "use_rts"],
  ...["use_weighted_residual"],
];

/** What is no part of a model where it is switched off. */
const SWITCHES: readonly string[] = ["use_moe", "use_mrope", "rope_interleaved"];

/** Of models with a vocabulary; the other parts carry the library's defaults for them. */
export const VOCABULARY: readonly string[] = [
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
  "tie_word_embeddings",
];

const UNUSED = {
  // max_txt_len is read by no code (the limit on texts is 80 tokens); hidden_size repeats qllama_config's. The limit
  // and precision of our own training are read elsewhere.
  "": [...LIBRARY, ...VOCABULARY, "max_txt_len", "hidden_size", "max_text_tokens", "precision"],
  // Dropout is 0 in all published files.
  vision_config: [...LIBRARY, ...VOCABULARY, "dropout", "attention_dropout"],
  // The two copies of fields of the level above, and how earlier training was split over machines.
  qllama_config: [
    ...LIBRARY,
    ...[
      "model_type",
      "num_query_token",
      "cross_attention_frequency",
      "pretraining_tp",
      "max_sequence_length",
    ],
  ],
} as const;

/** Options of later LLaMA models that QLLaMA does not have: harmless with the value that leaves the model as it is. */
const LLAMA_DEFAULTS: Readonly<Record<string, unknown>> = {
  rope_theta: 10000,
  rope_scaling: null,
  attention_bias: false,
  attention_dropout: 0,
  mlp_bias: false,
};

export type Fields = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A parsed `config.json` of InternVL-C or -G without the fields that mean nothing here. What is no object stays. */
export function withoutUnused(config: unknown): unknown {
  if (!isObject(config)) return config;
  const top = strip(config, (key) => (UNUSED[""] as readonly string[]).includes(key));
  for (const part of ["vision_config", "qllama_config"] as const) {
    const fields = top[part];
    if (!isObject(fields)) continue;
    top[part] = strip(
      fields,
      (key, value) =>
        (UNUSED[part] as readonly string[]).includes(key) ||
        (part === "qllama_config" && isLlamaDefault(key, value, fields)),
    );
  }
  return top;
}

function isLlamaDefault(key: string, value: unknown, fields: Fields): boolean {
  const { num_attention_heads: heads = 32, hidden_size: width = 4096 } = fields;
  if (key === "num_key_value_heads") return value === heads;
  if (key === "head_dim") return value === Number(width) / Number(heads);
  return Object.hasOwn(LLAMA_DEFAULTS, key) && LLAMA_DEFAULTS[key] === value;
}

const strip = (fields: Fields, unused: (key: string, value: unknown) => boolean): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).filter(([key, value]) => !key.startsWith("_") && !unused(key, value)),
  );

/**
 * The fields that a schema knows and those that nobody does, which it then refuses. Of the latter, null says that nothing
 * is set: it is left out.
 */
export const relevant = (
  fields: Fields,
  { shape: known }: { readonly shape: object },
  unused: readonly string[],
): Record<string, unknown> =>
  strip(
    fields,
    (key, value) =>
      !Object.hasOwn(known, key) &&
      (value === null ||
        (value === false && SWITCHES.includes(key)) ||
        [LIBRARY, MIXTURE, unused].some((list) => list.includes(key))),
  );
