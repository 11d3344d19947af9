import { UsageError } from "../core/errors.ts";
import type { ParityOutput } from "../eval/parity.node.ts";
import type { ParityOptions } from "../eval/parity-case.ts";
import type { DownloadOptions } from "../hub/download-model.node.ts";
import type { ChatModel } from "../infer/chat-model.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { LoadChatOptions } from "../infer/load-chat-model.node.ts";
import type { LoadOptions } from "../infer/load-model.node.ts";
import type { TrainOptions, TrainSummary } from "../train/train.node.ts";
import type { Framing, RgbImage } from "../vision/image.ts";

/**
 * The libraries behind the commands that tests replace. Each is loaded when it is first used, so that `--help`
 * loads none.
 */
export interface Services {
  loadEmbedder(path: string, options?: LoadOptions): Promise<Embedder>;
  loadChatModel(path: string, options?: LoadChatOptions): Promise<ChatModel>;
  /** The path of a model in the hub's cache, by its name on the hub. */
  downloadModel(name: string, options?: DownloadOptions): Promise<string>;
  loadImage(
    source: string | Uint8Array,
    options: { readonly size: number; readonly framing: Framing },
  ): Promise<RgbImage>;
  train(recipePath: string, options: TrainOptions): Promise<TrainSummary>;
  /** Compares every expected output of `case.safetensors` in `dir` with what the checkpoint there gives. */
  parity(dir: string, options: ParityOptions & { readonly signal: AbortSignal }): AsyncIterable<ParityOutput>;
}

export const defaultServices: Services = {
  async loadEmbedder(path, options) {
    const { stat } = await import("node:fs/promises");
    if (!(await stat(path).catch(() => undefined)))
      throw new UsageError(
        `${path}: expected a model, a folder with config.json, weights and a tokenizer, or a name on the hub as OWNER/NAME, found none; check the path, or leave --model out for the one that comes with it`,
      );
    const { loadEmbedder } = await import("../infer/load-model.node.ts");
    return loadEmbedder(path, options);
  },
  async loadChatModel(path, options) {
    const { stat } = await import("node:fs/promises");
    if (!(await stat(path).catch(() => undefined))) {
      const { PUBLISHED_CHAT_NAMES } = await import("../models/published-chat.ts");
      const example = PUBLISHED_CHAT_NAMES.includes(path) ? path : "InternVL3-1B";
      throw new UsageError(
        `${path}: expected the folder of a chat model, a .gguf file, or a name on the hub such as OpenGVLab/${example}, found none; check the path`,
      );
    }
    const { looksLikeMedia } = await import("./chat/arguments.ts");
    if (looksLikeMedia(path))
      throw new UsageError(
        `${path}: expected a model first, the folder of a chat model or a .gguf file, found a picture or video; as in internvl chat MODEL ${path} "What is this?"`,
      );
    const { loadChatModel } = await import("../infer/load-chat-model.node.ts");
    return loadChatModel(path, options);
  },
  async downloadModel(name, options) {
    const { downloadModel } = await import("../hub/download-model.node.ts");
    return downloadModel(name, options);
  },
  async loadImage(source, options) {
    const { loadForModel } = await import("../vision/preprocess.node.ts");
    return loadForModel(source, options);
  },
  async train(recipePath, options) {
    const { train } = await import("../train/train.node.ts");
    const { heldOutRecall } = await import("../eval/held-out.node.ts");
    return train(recipePath, { evaluate: heldOutRecall, ...options });
  },
  async *parity(dir, options) {
    const { runParity } = await import("../eval/parity.node.ts");
    yield* runParity(dir, options);
  },
};
