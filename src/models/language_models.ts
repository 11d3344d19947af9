import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { CausalLanguageModel } from "../nn/decoder.ts";
import { createGptOss, GptOssConfig } from "./gpt_oss.ts";
import { InternLM2Config, InternLM2ForCausalLM } from "./internlm2.ts";
import { createLlama, LlamaConfig } from "./llama.ts";
import { createPhi3, Phi3Config } from "./phi3.ts";
import { createQwen2, Qwen2Config } from "./qwen2.ts";
import { createQwen3, Qwen3Config } from "./qwen3.ts";
import { createQwen3Moe, Qwen3MoeConfig } from "./qwen3_moe.ts";
import { type Fields, relevant } from "./unused-fields.ts";

/** A configuration that was checked, and the module tree that belongs to it. */
export interface LanguageModel {
  readonly architecture: string;
  readonly config: { readonly hidden_size: number; readonly vocab_size: number };
  create(options?: { readonly tied?: boolean }): CausalLanguageModel;
}

/** Fields that change nothing in inference: dropout, routers' training, where the weights were split. */
const UNUSED = [
  ...["bos_token_id", "eos_token_id", "pad_token_id", "model_type"],
  ...["attention_dropout", "embd_pdrop", "resid_pdrop", "pretraining_tp"],
  ...["output_router_logits", "router_aux_loss_coef", "max_window_layers"],
  // GPT-OSS says these a second time, under names of its own.
  ...["experts_per_token", "initial_context_length"],
  // Of the programs that converted or published a file.
  ...["is_llama_config", "max_sequence_length", "transformers.js_config", "unsloth_fixed"],
];

function family<C extends { hidden_size: number; vocab_size: number; tie_word_embeddings: boolean }>(
  architecture: string,
  schema: z.ZodType<C> & { readonly shape: object },
  create: (config: C) => CausalLanguageModel,
) {
  return (raw: Fields, where: string): LanguageModel => {
    const parsed = schema.safeParse(relevant(raw, schema, UNUSED));
    if (!parsed.success)
      throw new ConfigError(
        `${where}: not a configuration of ${architecture}:\n${z.prettifyError(parsed.error).replace(/^/gm, "  ")}`,
      );
    const config = parsed.data;
    return {
      architecture,
      config,
      create: ({ tied = config.tie_word_embeddings } = {}) =>
        create({ ...config, tie_word_embeddings: tied }),
    };
  };
}

const FAMILIES: Readonly<Record<string, (raw: Fields, where: string) => LanguageModel>> = {
  LlamaForCausalLM: family("LlamaForCausalLM", LlamaConfig, createLlama),
  Qwen2ForCausalLM: family("Qwen2ForCausalLM", Qwen2Config, createQwen2),
  Qwen3ForCausalLM: family("Qwen3ForCausalLM", Qwen3Config, createQwen3),
  Qwen3MoeForCausalLM: family("Qwen3MoeForCausalLM", Qwen3MoeConfig, createQwen3Moe),
  Phi3ForCausalLM: family("Phi3ForCausalLM", Phi3Config, createPhi3),
  InternLM2ForCausalLM: family("InternLM2ForCausalLM", InternLM2Config, (c) => new InternLM2ForCausalLM(c)),
  GptOssForCausalLM: family("GptOssForCausalLM", GptOssConfig, createGptOss),
};

/** `model_type` of transformers -> class. */
const MODEL_TYPES: Readonly<Record<string, string>> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  qwen3_moe: "Qwen3MoeForCausalLM",
  phi3: "Phi3ForCausalLM",
  internlm2: "InternLM2ForCausalLM",
  gpt_oss: "GptOssForCausalLM",
};

/** The class that a configuration names, by `architectures` or else by `model_type`. Throws a ConfigError for others. */
export function architectureOf(
  config: { readonly architectures?: unknown; readonly model_type?: unknown },
  where: string,
): string {
  const [first] = Array.isArray(config.architectures) ? (config.architectures as unknown[]) : [];
  const name = first ?? MODEL_TYPES[String(config.model_type)] ?? config.model_type;
  if (typeof name === "string" && Object.hasOwn(FAMILIES, name)) return name;
  throw new ConfigError(
    `${where}: the language model ${name === undefined ? "is not named" : `"${String(name)}" is not known`}; known are ${Object.keys(FAMILIES).join(", ")}`,
  );
}

/** Whether a configuration is that of a language model alone, one that is known or not. */
export const isLanguageConfig = (config: {
  readonly architectures?: readonly unknown[];
  readonly model_type?: unknown;
}): boolean =>
  String(config.architectures?.[0]).endsWith("ForCausalLM") ||
  (config.architectures === undefined && Object.hasOwn(MODEL_TYPES, String(config.model_type)));

/** A language model by the class that its configuration names; fields must be the class's own, or mean nothing. */
export const languageModel = (architecture: string, raw: Fields, where: string): LanguageModel =>
  FAMILIES[architecture]!(raw, where);
