import { stat } from "node:fs/promises";
import { freemem } from "node:os";
import { dirname } from "node:path";
import type { Device } from "../core/devices.ts";
import { ConfigError, UsageError } from "../core/errors.ts";
import type { Precision } from "../core/precisions.ts";
import { readChatConfig, readLanguageConfig } from "../models/chat-config.ts";
import { InternVLChat } from "../models/internvl_chat.ts";
import { joinProjections } from "../models/join-projections.ts";
import { Quantizer } from "../models/quantizer.ts";
import type { Fields } from "../models/unused-fields.ts";
import type { CausalLanguageModel } from "../nn/decoder.ts";
import type { Module } from "../nn/module.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { chatTemplate } from "../text/chat-templates.ts";
import { type ChatMessage, composePrompt } from "../text/conversation.ts";
import { ggufTokenizer } from "../text/gguf-tokenizer.ts";
import { renderChatTemplate } from "../text/jinja-template.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { tileImage } from "../vision/tiles.node.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { openGguf } from "../weights/gguf.node.ts";
import { ggufPair } from "../weights/gguf-pair.ts";
import { ggufText } from "../weights/gguf-text.ts";
import { openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { AsyncDisposables } from "./async-disposables.ts";
import type { ChatModel } from "./chat-model.ts";
import { attendsManyRows } from "./check-attention.ts";
import { checkInt8Layers } from "./check-int8.ts";
import { Decoder } from "./decoder.ts";
import { endOfText } from "./end-of-text.node.ts";
import { folderTemplate } from "./folder-template.node.ts";
import { GenerativeModel, type GenerativeParts } from "./generative-model.ts";
import { positionBytes } from "./kv-cache.ts";
import { placeFolder } from "./open-chat-model.node.ts";
import { PictureEncoder } from "./picture-tokens.ts";
import { type PlaceOptions, placeWeights, usualPrecision, type WeightPrecisions } from "./place-weights.ts";
import { weightsId } from "./weights-id.node.ts";

export interface LoadChatOptions {
  /** Threads of the runtime; default: the physical cores. */
  readonly threads?: number;
  /** Default: the CPU. On a GPU one answer is made at a time. */
  readonly device?: Device;
  /**
   * How weights are kept and multiplied. Default: "w8" for a folder of a hundred million float weights or more, which answers
   * twice as fast as "f32" in less than half of the memory; otherwise as in the file. "bf16" keeps a published file.
   */
  readonly precision?: Precision;
  /**
   * Of the vision tower and its projector alone; default `precision`. "w8a8" reads pictures about twice as fast as "w4" and
   * "w8" do, on processors that multiply int8.
   */
  readonly visionPrecision?: Precision;
  /**
   * Most tokens of a conversation with its answer; default 8192, or less where the configuration has fewer positions. More
   * than those are computed as the published code does, which knows no limit: what comes of it is the model's.
   */
  readonly context?: number;
  /**
   * Most answers that are made at the same time, by continuous batching; as many conversations are remembered. Default 4;
   * fewer where half of the free memory would not hold so many full contexts.
   */
  readonly batch?: number;
  /** The vision part (mmproj) of a GGUF model. */
  readonly mmproj?: string;
}

const CONTEXT = 8192;
const BATCH = 4;

/** A model as it was found in files: its tree, its weights, and how it is talked to. */
interface Found {
  readonly root: Module;
  readonly language: CausalLanguageModel;
  readonly chat: InternVLChat | undefined;
  readonly checkpoint: Checkpoint;
  readonly weights: ReadonlyMap<string, TensorSource>;
  readonly precisions: WeightPrecisions;
  readonly tokenizer: Tokenizer;
  readonly prompting: Pick<GenerativeParts, "compose" | "template" | "stop" | "stopIds" | "penalizesPrompt">;
}

/**
 * Loads a model to chat with: the folder of an InternVL-Chat (1.1 to 3.5, in either published format) or of a language
 * model alone, or a .gguf file, with its mmproj for pictures. What it holds is released with it. Throws CheckpointError,
 * ConfigError or UsageError with everything that does not fit.
 */
export async function loadChatModel(path: string, options: LoadChatOptions = {}): Promise<ChatModel> {
  const { context, batch = BATCH, threads, device = "cpu", precision, visionPrecision, mmproj } = options;
  for (const [name, value, least] of [
    ["context", context, 2],
    ["batch", batch, 1],
  ] as const)
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least))
      throw new UsageError(`loadChatModel: ${name} is ${value}; give a whole number of at least ${least}`);
  const isGguf = path.endsWith(".gguf");
  if (mmproj !== undefined && !isGguf)
    throw new UsageError(
      `${path}: an mmproj belongs to a .gguf file; a folder holds its vision tower itself`,
    );
  const stack = new AsyncDisposables();
  try {
    const runtime = stack.own(await createRuntime({ device, ...(threads && { threads }) }));
    await using quantizer = new Quantizer(runtime);
    const placing = { precision, visionPrecision, quantizer };
    const found = isGguf ? await findGguf(path, mmproj, placing) : await findFolder(path, placing);
    const { root, language, chat, tokenizer, checkpoint, precisions, prompting } = found;
    if (visionPrecision !== undefined && chat === undefined)
      throw new UsageError(`${path}: it has no vision tower; leave the vision precision out`);
    const id = await weightsId(path, found.weights, checkpoint, precisions);
    const weights = joinProjections(root, found.weights, (source) => checkpoint.read(source));
    await checkInt8Layers(runtime, root);
    const set = stack.own(await runtime.weights(weights));
    const manyRows = await attendsManyRows(runtime);
    const decoder = stack.own(await Decoder.create(runtime, language, set, { manyRows }));
    const encoder = chat && stack.own(await PictureEncoder.create(runtime, chat, set, { manyRows }));
    const contextLength = context ?? Math.min(CONTEXT, language.shape.rope.max_position_embeddings);
    const model = stack.own(
      new GenerativeModel({
        id,
        tokenizer,
        decoder,
        contextLength,
        // Rows of a GPU's memory are not taken apart.
        batch: device === "cpu" ? fittingBatch(batch, contextLength * positionBytes(language.shape)) : 1,
        ...prompting,
        ...(encoder && { pictures: { encoder, tiling: tilingOf(chat), tile: tileImage } }),
      }),
    );
    return {
      id: model.id,
      contextLength: model.contextLength,
      concurrency: model.concurrency,
      chat: (messages, options) => model.chat(messages, options),
      complete: (prompt, options) => model.complete(prompt, options),
      [Symbol.asyncDispose]: () => stack.dispose(),
    };
  } catch (error) {
    // What could not be released follows from the first error, which is the one to tell.
    await stack.dispose().catch(() => {});
    throw error;
  }
}

/** As many contexts of so many bytes as half of the free memory holds, but at most `batch` and at least one. */
function fittingBatch(batch: number, contextBytes: number): number {
  // Where a container has a limit, what is free of that.
  const free = process.availableMemory?.() ?? freemem();
  return Math.max(1, Math.min(batch, Math.floor(free / 2 / contextBytes)));
}

const tilingOf = ({ cfg, imageSize }: InternVLChat) => ({
  force_image_size: imageSize,
  dynamic_image_size: cfg.dynamic_image_size,
  use_thumbnail: cfg.use_thumbnail,
  min_dynamic_patch: cfg.min_dynamic_patch,
  max_dynamic_patch: cfg.max_dynamic_patch,
  pad2square: cfg.pad2square,
});

async function findFolder(path: string, { quantizer, ...asked }: PlaceOptions): Promise<Found> {
  const folder = (await stat(path)).isDirectory() ? path : dirname(path);
  const files = await openCheckpoint(path);
  const precisions = { ...asked, precision: asked.precision ?? usualPrecision(files.checkpoint) };
  const { model, weights, config, checkpoint } = await placeFolder(path, files, { ...precisions, quantizer });
  const tokenizer = await openTokenizer(folder);
  const stopIds = [...(await endOfText(folder, files.config))];
  const isPublished = config?.format === "github";
  const prompting = isPublished
    ? published(tokenizer, config.chat, `${path}: config.json`)
    : native(tokenizer, await folderTemplate(folder), folder);
  const chat = model instanceof InternVLChat ? model : undefined;
  return {
    root: model,
    language: model instanceof InternVLChat ? model.language_model : model,
    chat,
    checkpoint,
    weights,
    precisions,
    tokenizer,
    prompting: { ...prompting, stopIds },
  };
}

async function findGguf(path: string, mmproj: string | undefined, placing: PlaceOptions): Promise<Found> {
  const { quantizer, ...precisions } = placing;
  const file = await openGguf(path);
  const tokenizer = ggufTokenizer(Object.fromEntries(file.metadata), path);
  const prompting = {
    ...native(tokenizer, file.metadata.get("tokenizer.chat_template"), path),
    stopIds: tokenizer.eosId === undefined ? [] : [tokenizer.eosId],
  };
  if (mmproj === undefined) {
    const { checkpoint, config } = await ggufText(file);
    const language = readLanguageConfig(config as unknown as Fields, path).create({ tied: false });
    const weights = await placeWeights(language, checkpoint, { precision: precisions.precision, quantizer });
    return {
      root: language,
      language,
      chat: undefined,
      checkpoint,
      weights,
      precisions,
      tokenizer,
      prompting,
    };
  }
  const { checkpoint, config } = await ggufPair(file, await openGguf(mmproj));
  const { chat: cfg, language: family } = readChatConfig(config, path);
  const language = family.create({ tied: false });
  const chat = new InternVLChat(
    // The files say nothing of either; the published chat models since 1.5 have both.
    { ...cfg, dynamic_image_size: true, use_thumbnail: true },
    language,
  );
  const weights = await placeWeights(chat, checkpoint, placing);
  return { root: chat, language, chat, checkpoint, weights, precisions, tokenizer, prompting };
}

type Prompting = Omit<Found["prompting"], "stopIds">;

/** Prompts of the GitHub format, by the name in its configuration. */
function published(tokenizer: Tokenizer, cfg: InternVLChat["cfg"], where: string): Prompting {
  const { template, system_message } = cfg;
  if (template === undefined)
    throw new ConfigError(
      `${where}: it names no template; add the field template, "internvl2_5" for instance`,
    );
  const { stop } = chatTemplate(template);
  const specials = tokenizer.addedTokens;
  return {
    template,
    stop,
    penalizesPrompt: false,
    compose: <P>(messages: readonly ChatMessage<P>[]) =>
      composePrompt(messages, { template, systemMessage: system_message, specials }),
  };
}

/** Prompts by a repository's own template; a model without one continues texts. */
function native(tokenizer: Tokenizer, template: unknown, where: string): Prompting {
  const isKnown = (token: string) => tokenizer.idOf(token) !== undefined;
  const isGptOss = isKnown("<|channel|>");
  const plain = { template: isGptOss ? "internvl3_5_gpt_oss" : "", stop: [], penalizesPrompt: true };
  if (typeof template !== "string") return plain;
  const variables = Object.fromEntries(
    [
      ["bos_token", tokenizer.bosId],
      ["eos_token", tokenizer.eosId],
    ].flatMap(([name, id]) =>
      id === undefined ? [] : [[name, tokenizer.decode([id as number], { skipSpecial: false })]],
    ),
  ) as Record<string, string>;
  const options = { specials: tokenizer.addedTokens, where: `${where}: chat template`, variables };
  return {
    ...plain,
    stop: TURN_ENDS.filter((token) => isKnown(token) && !(isGptOss && token === "<|end|>")),
    compose: <P>(messages: readonly ChatMessage<P>[]) => renderChatTemplate(template, messages, options),
  };
}

/** Tokens that end a turn or a text in the families; GPT-OSS ends a channel with Phi-3's. */
const TURN_ENDS = [
  ...["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|return|>", "<|end|>"],
  ...["<|endoftext|>", "<|end_of_text|>"],
];
