import type { HostTensor } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import type { Precision } from "../core/precisions.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
import { applyPrecision } from "../models/precision.ts";
import { parameters } from "../nn/module.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { COMPUTED_TABLES } from "../weights/internvl-chat-keys.ts";
import { loadCheckpoint } from "../weights/load-checkpoint.ts";
import { type OpenedCheckpoint, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { type ChatConfig, readChatConfig } from "./chat-config.ts";

/** An InternVL-Chat checkpoint with its weights placed: byte ranges of its files, or made from them when loaded. */
export interface OpenedChatModel {
  readonly model: InternVLChat;
  readonly weights: Map<string, TensorSource>;
  readonly config: ChatConfig;
  readonly opened: OpenedCheckpoint;
}

/** Embeddings and head of the language model, which some files share. */
const TABLES = ["embed_tokens", "tok_embeddings"].map((t) => `language_model.model.${t}.weight`);
const HEADS = ["lm_head", "output"].map((h) => `language_model.${h}.weight`);

/**
 * Opens InternVL-Chat 1.1 to 3.5 in either published format. Throws CheckpointError or ConfigError with everything that
 * does not fit.
 */
export async function openChatModel(
  path: string,
  options: { readonly precision?: Precision } = {},
): Promise<OpenedChatModel> {
  const opened = await openCheckpoint(path);
  if (opened.config === undefined)
    throw new CheckpointError(`${path}: no config.json beside the weights; put the model's into the folder`);
  const config = readChatConfig(opened.config, `${path}: config.json`);
  const { chat, language } = config;
  // A head that is tied gets the table's bytes under its own name: it may be stored in another precision.
  const model = new InternVLChat(chat, language.create({ tied: false }));
  const shapes = new Map([...parameters(model)].map(([key, { shape }]) => [key, { shape }]));
  const head = HEADS.find((key) => shapes.has(key))!;
  const isTied = !opened.checkpoint.keys.some((key) => /(^|\.)(lm_head|output)\.weight$/.test(key));
  const headShape = shapes.get(head)!;
  if (isTied) shapes.delete(head);
  const loaded = await loadCheckpoint(shapes, opened.checkpoint, {
    ...(opened.keys && { keys: opened.keys }),
    ignore: COMPUTED_TABLES,
  });
  if (isTied) loaded.set(head, { ...loaded.get(TABLES.find((key) => loaded.has(key))!)!, ...headShape });
  const read = (source: TensorSource): Promise<HostTensor> => opened.checkpoint.read(source);
  return { model, weights: applyPrecision(model, loaded, options.precision, read), config, opened };
}
