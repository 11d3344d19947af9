import { CheckpointError } from "../core/errors.ts";
import { type ChatConfig, isChatConfig, readChatConfig, readTextConfig } from "../models/chat-config.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
import type { Fields } from "../models/unused-fields.ts";
import type { CausalLanguageModel } from "../nn/decoder.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { mergeLora } from "../weights/merge-lora.ts";
import { type OpenedCheckpoint, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { type PlaceOptions, placeWeights } from "./place-weights.ts";
import { resizePositions } from "./resize-positions.ts";

/** An InternVL-Chat checkpoint with its weights placed. */
export interface OpenedChatModel {
  readonly model: InternVLChat;
  readonly weights: Map<string, TensorSource>;
  readonly config: ChatConfig;
  /** The weights' files; adapters that they hold are merged. */
  readonly checkpoint: Checkpoint;
  readonly opened: OpenedCheckpoint;
}

/** A language model alone with its weights placed. */
export interface OpenedTextModel {
  readonly model: CausalLanguageModel;
  readonly weights: Map<string, TensorSource>;
  readonly config: undefined;
  readonly checkpoint: Checkpoint;
}

/**
 * Opens InternVL-Chat 1.1 to 3.5 in either published format. Throws CheckpointError or ConfigError with everything that
 * does not fit.
 */
export async function openChatModel(path: string, options: PlaceOptions = {}): Promise<OpenedChatModel> {
  return placeChatModel(path, await openCheckpoint(path), options);
}

/** Places the weights of files that are open: of an InternVL-Chat or of a language model alone, by their configuration. */
export async function placeFolder(
  path: string,
  opened: OpenedCheckpoint,
  options: PlaceOptions = {},
): Promise<OpenedChatModel | OpenedTextModel> {
  const { checkpoint } = opened;
  const config = configBeside(path, opened);
  if (isChatConfig(config)) return placeChatModel(path, opened, options);
  const { language, precision: stored } = readTextConfig(config as Fields, `${path}: config.json`);
  const model = language.create({ tied: false });
  const weights = await placeWeights(model, checkpoint, { stored, ...options });
  return { model, weights, config: undefined, checkpoint };
}

function configBeside(path: string, { config }: OpenedCheckpoint): unknown {
  if (config === undefined)
    throw new CheckpointError(`${path}: no config.json beside the weights; put the model's into the folder`);
  return config;
}

async function placeChatModel(
  path: string,
  opened: OpenedCheckpoint,
  options: PlaceOptions,
): Promise<OpenedChatModel> {
  const config = readChatConfig(configBeside(path, opened), `${path}: config.json`);
  const checkpoint = mergeLora(opened.checkpoint, config.chat);
  const model = new InternVLChat(config.chat, config.language.create({ tied: false }));
  // Tiles of another size than the tower's own (force_image_size) take its positions interpolated, as published.
  const resize = model.imageSize === config.chat.vision_config.image_size ? {} : { resize: resizePositions };
  const placing = { keys: opened.keys, stored: config.precision, ...resize, ...options };
  const weights = await placeWeights(model, checkpoint, placing);
  return { model, weights, config, checkpoint, opened };
}
