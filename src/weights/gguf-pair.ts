import { CheckpointError } from "../core/errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { GgufFile } from "./gguf.ts";
import { ggufText } from "./gguf-text.ts";
import { ggufVision } from "./gguf-vision.ts";

/** A chat model of two GGUF files, as if it were one published checkpoint. */
export interface GgufPair {
  readonly checkpoint: Checkpoint;
  /**
   * Fields of a published `config.json` of InternVL-Chat. What the files do not say is left out: the prompt's
   * `template` above all.
   */
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Joins a language model and its vision part (mmproj): the names and fields of the published chat models. Throws a
 * CheckpointError when one is not what it should be or the projector's width is not the language model's.
 */
export async function ggufPair(model: GgufFile, mmproj: GgufFile): Promise<GgufPair> {
  const vision = ggufVision(mmproj);
  const text = await ggufText(model);
  const width = vision.checkpoint.tensors.get("mlp1.3.weight")?.shape[0];
  if (width !== text.config.hidden_size)
    throw new CheckpointError(
      `${mmproj.name}: its projector gives vectors of ${width} numbers, ${model.name} takes ${text.config.hidden_size}; they are parts of different models`,
    );
  const tensors = new Map(vision.checkpoint.tensors);
  for (const [key, source] of text.checkpoint.tensors) tensors.set(`language_model.${key}`, source);
  return {
    checkpoint: { ...text.checkpoint, keys: [...tensors.keys()], tensors },
    config: {
      architectures: ["InternVLChatModel"],
      model_type: "internvl_chat",
      ...vision.config,
      llm_config: text.config,
      select_layer: -1,
      // Earlier versions are InternVL-Chat 1.1 and 1.2, which llama.cpp does not convert.
      ps_version: "v2",
      dynamic_image_size: true,
      use_thumbnail: true,
      tie_word_embeddings: text.config.tie_word_embeddings,
    },
  };
}
