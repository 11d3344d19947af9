import { CheckpointError } from "../core/errors.ts";
import type { GgufFile } from "./gguf.ts";
import { type Concat, concat, drop, KeyMap } from "./key-map.ts";

/** How llama.cpp stores a language model, and what it was called where it was published. */
export interface TextArchitecture {
  /** Class and `model_type` in a published `config.json`. */
  readonly className: string;
  readonly modelType: string;
  readonly keys: KeyMap;
  /** Whether rows of q and k were reordered for a rotary embedding of neighbours. */
  readonly permuted: boolean;
  /** Whether q, k and v are one weight of groups, as in InternLM2. */
  readonly grouped: boolean;
  readonly experts: "none" | "each" | "fused";
}

const B = "blk.{i}";
const L = "model.layers.{i}";

const EMBEDDINGS = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
  [`${B}.attn_norm.weight`]: `${L}.input_layernorm.weight`,
};

const ATTENTION = {
  [`${B}.attn_{q,k,v}.{p}`]: `${L}.self_attn.{q,k,v}_proj.{p}`,
  [`${B}.attn_output.{p}`]: `${L}.self_attn.o_proj.{p}`,
};

const HEAD_NORMS = { [`${B}.attn_{q,k}_norm.weight`]: `${L}.self_attn.{q,k}_norm.weight` };

const FEED_FORWARD = {
  [`${B}.ffn_norm.weight`]: `${L}.post_attention_layernorm.weight`,
  [`${B}.ffn_{gate,up,down}.{p}`]: `${L}.mlp.{gate,up,down}_proj.{p}`,
};

/** Rotary tables: what they say is in the configuration. */
const map = (rules: Readonly<Record<string, string | Concat>>): KeyMap =>
  new KeyMap(rules, [
    drop("rope_freqs.weight", "it is read into the configuration"),
    drop("rope_factors_long.weight", "it is read into the configuration"),
    drop("rope_factors_short.weight", "it is read into the configuration"),
    drop(`${B}.attn_rot_embd.weight`, "a table that is computed from the configuration"),
  ]);

const PLAIN = { permuted: false, grouped: false, experts: "none" } as const;

/** By `general.architecture` (ggml-org/llama.cpp, gguf-py/gguf/constants.py and conversion/). */
const ARCHITECTURES: Readonly<Record<string, TextArchitecture>> = {
  llama: {
    ...PLAIN,
    className: "LlamaForCausalLM",
    modelType: "llama",
    permuted: true,
    keys: map({ ...EMBEDDINGS, ...ATTENTION, ...FEED_FORWARD }),
  },
  qwen2: {
    ...PLAIN,
    className: "Qwen2ForCausalLM",
    modelType: "qwen2",
    keys: map({ ...EMBEDDINGS, ...ATTENTION, ...FEED_FORWARD }),
  },
  qwen3: {
    ...PLAIN,
    className: "Qwen3ForCausalLM",
    modelType: "qwen3",
    keys: map({ ...EMBEDDINGS, ...ATTENTION, ...HEAD_NORMS, ...FEED_FORWARD }),
  },
  qwen3moe: {
    ...PLAIN,
    className: "Qwen3MoeForCausalLM",
    modelType: "qwen3_moe",
    experts: "each",
    keys: map({
      ...EMBEDDINGS,
      ...ATTENTION,
      ...HEAD_NORMS,
      [`${B}.ffn_norm.weight`]: `${L}.post_attention_layernorm.weight`,
      [`${B}.ffn_gate_inp.weight`]: `${L}.mlp.gate.weight`,
      [`${B}.ffn_{gate,up,down}_exps.weight`]: `${L}.mlp.experts.{gate,up,down}_proj.weight`,
    }),
  },
  internlm2: {
    className: "InternLM2ForCausalLM",
    modelType: "internlm2",
    permuted: true,
    grouped: true,
    experts: "none",
    keys: map({
      "token_embd.weight": "model.tok_embeddings.weight",
      "output_norm.weight": "model.norm.weight",
      "output.weight": "output.weight",
      [`${B}.{attn,ffn}_norm.weight`]: `${L}.{attention,ffn}_norm.weight`,
      [`${B}.attn_{q,k,v}.{p}`]: concat(`${L}.attention.wqkv.{p}`, 0),
      [`${B}.attn_output.{p}`]: `${L}.attention.wo.{p}`,
      [`${B}.ffn_{gate,down,up}.weight`]: `${L}.feed_forward.{w1,w2,w3}.weight`,
    }),
  },
  phi3: {
    ...PLAIN,
    className: "Phi3ForCausalLM",
    modelType: "phi3",
    keys: map({
      ...EMBEDDINGS,
      [`${B}.attn_qkv.weight`]: `${L}.self_attn.qkv_proj.weight`,
      [`${B}.attn_output.weight`]: `${L}.self_attn.o_proj.weight`,
      [`${B}.ffn_norm.weight`]: `${L}.post_attention_layernorm.weight`,
      [`${B}.ffn_{up,down}.weight`]: `${L}.mlp.{gate_up,down}_proj.weight`,
    }),
  },
  "gpt-oss": {
    ...PLAIN,
    className: "GptOssForCausalLM",
    modelType: "gpt_oss",
    experts: "fused",
    keys: map({
      ...EMBEDDINGS,
      ...ATTENTION,
      [`${B}.attn_sinks.weight`]: `${L}.self_attn.sinks`,
      [`${B}.post_attention_norm.weight`]: `${L}.post_attention_layernorm.weight`,
      [`${B}.ffn_gate_inp.{p}`]: `${L}.mlp.router.{p}`,
      [`${B}.ffn_{gate,up}_exps.weight`]: concat(`${L}.mlp.experts.gate_up_proj`, 1),
      [`${B}.ffn_{gate,up}_exps.bias`]: concat(`${L}.mlp.experts.gate_up_proj_bias`, 1),
      [`${B}.ffn_down_exps.{weight,bias}`]: `${L}.mlp.experts.{down_proj,down_proj_bias}`,
    }),
  },
};

/** The architecture of a file. Throws a CheckpointError for those that are not known here. */
export function textArchitecture({ name, metadata }: GgufFile): TextArchitecture {
  const architecture = metadata.get("general.architecture");
  if (typeof architecture === "string" && Object.hasOwn(ARCHITECTURES, architecture))
    return ARCHITECTURES[architecture]!;
  const hint =
    architecture === "clip" ? "; it is the vision part (mmproj) of a pair, give it beside its model" : "";
  throw new CheckpointError(
    `${name}: its architecture is ${JSON.stringify(architecture)}, expected a language model (${Object.keys(ARCHITECTURES).join(", ")})${hint}`,
  );
}
