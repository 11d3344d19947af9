import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Rng } from "../src/core/rng.ts";
import { readChatConfig } from "../src/models/chat-config.ts";
import { InternVLChat } from "../src/models/internvl_chat.ts";
import { parameters } from "../src/nn/module.ts";
import { writeSafetensors } from "../src/weights/write-safetensors.node.ts";
import { randomWeights } from "./evaluate.ts";

const TOKENIZER = fileURLToPath(new URL("../src/text/fixtures/qwen2", import.meta.url));

/** Tokens of the fixture's tokenizer, and rows of the model beyond them, as published models have. */
export const TINY_VOCABULARY = 574;
const ROWS = 600;

export const TINY_CHAT_CONFIG = {
  architectures: ["InternVLChatModel"],
  model_type: "internvl_chat",
  template: "internvl2_5",
  select_layer: -1,
  force_image_size: 28,
  downsample_ratio: 0.5,
  ps_version: "v2",
  dynamic_image_size: true,
  use_thumbnail: true,
  min_dynamic_patch: 1,
  max_dynamic_patch: 6,
  vision_config: {
    patch_size: 7,
    image_size: 28,
    hidden_size: 32,
    num_attention_heads: 2,
    intermediate_size: 48,
    num_hidden_layers: 2,
    qk_normalization: false,
    qkv_bias: true,
    norm_type: "layer_norm",
  },
  llm_config: {
    architectures: ["Qwen2ForCausalLM"],
    vocab_size: ROWS,
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-6,
  },
};

/**
 * Writes an InternVL-Chat of random weights in the GitHub format: it speaks nonsense, always the same. `rows` are the
 * ids that the model has, `imageSize` the side of its tiles where it is not the tower's, `language` what the language
 * model has beside or instead of the usual.
 */
export async function writeTinyChat(
  folder: string,
  options: { readonly rows?: number; readonly imageSize?: number; readonly language?: object } = {},
): Promise<void> {
  const { rows = ROWS, imageSize = TINY_CHAT_CONFIG.force_image_size, language: own } = options;
  const llm_config = { ...TINY_CHAT_CONFIG.llm_config, ...own, vocab_size: rows };
  const config = { ...TINY_CHAT_CONFIG, llm_config };
  const { chat, language } = readChatConfig(config, "tiny chat");
  const model = new InternVLChat(chat, language.create());
  const weights = randomWeights(parameters(model), new Rng("tiny chat"));
  await cp(TOKENIZER, folder, { recursive: true, filter: (path) => !path.endsWith("cases.json") });
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, force_image_size: imageSize }));
  await writeSafetensors(join(folder, "model.safetensors"), weights);
}
