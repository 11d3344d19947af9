import { CheckpointError } from "../core/errors.ts";
import { type ChatConfig, readChatConfig } from "../models/chat-config.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
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

/**
 * Opens InternVL-Chat 1.1 to 3.5 in either published format. Throws CheckpointError or ConfigError with everything that
 * does not fit.
 */
export async function openChatModel(path: string, options: PlaceOptions = {}): Promise<OpenedChatModel> {
  return placeChatModel(path, await openCheckpoint(path), options);
}

/** As {@link openChatModel}, of files that are open. */
export async function placeChatModel(
  path: string,
  opened: OpenedCheckpoint,
  options: PlaceOptions = {},
): Promise<OpenedChatModel> {
  if (opened.config === undefined)
    throw new CheckpointError(`${path}: no config.json beside the weights; put the model's into the folder`);
  const config = readChatConfig(opened.config, `${path}: config.json`);
  const checkpoint = mergeLora(opened.checkpoint, config.chat);
  const model = new InternVLChat(config.chat, config.language.create({ tied: false }));
  // Tiles of another size than the tower's own (force_image_size) take its positions interpolated, as published.
  const resize = model.imageSize === config.chat.vision_config.image_size ? {} : { resize: resizePositions };
  const placing = { keys: opened.keys, stored: config.precision, ...resize, ...options };
  const weights = await placeWeights(model, checkpoint, placing);
  return { model, weights, config, checkpoint, opened };
}
