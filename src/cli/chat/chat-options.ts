import { extname } from "node:path";
import type { Device } from "../../core/devices.ts";
import { UsageError } from "../../core/errors.ts";
import type { Precision } from "../../core/precisions.ts";
import type { ChatOptions } from "../../infer/chat-model.ts";
import { THINKING_SYSTEM_MESSAGE } from "../../text/reply.ts";
import type { Context } from "../context.ts";
import type { OfflineOption } from "../locate-model.ts";
import type { JsonOption } from "../options.ts";
import { visible } from "../terminal.ts";
import { DRAWN_FORMATS, pictureOf } from "./boxes.ts";
import type { Media } from "./media.ts";
import { checkBounds, type VideoChoice } from "./video-choice.ts";

/** What `internvl chat` was told, as the command line is read. */
export interface ChatCommandOptions extends JsonOption, OfflineOption {
  readonly precision?: Precision;
  readonly visionPrecision?: Precision;
  readonly threads?: number;
  readonly device?: Device;
  readonly context?: number;
  readonly mmproj?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly system?: string;
  readonly think?: true;
  readonly showThinking?: true;
  readonly maxTiles?: number;
  readonly frames: number;
  readonly from?: number;
  readonly to?: number;
  readonly boxes?: string;
  readonly history: boolean;
}

/** With the published system message for thinking. */
export const THINKING_TEMPERATURE = 0.6;

/** What options say about each other, before anything is read. */
export function checkOptions(options: ChatCommandOptions): void {
  if (options.think && options.system !== undefined)
    throw new UsageError("chat: expected --system or --think, found both; --think is a system message");
  const drawing = { "--top-p": options.topP, "--top-k": options.topK, "--min-p": options.minP };
  const useless = Object.entries({ ...drawing, "--seed": options.seed }).filter(([, v]) => v !== undefined);
  if (temperatureOf(options) === 0 && useless.length > 0)
    throw new UsageError(
      `chat: ${useless.map(([name]) => name).join(", ")} without effect at temperature 0; add --temperature, 0.7 for instance`,
    );
  if (options.stop?.includes("")) throw new UsageError("--stop: expected a text, found an empty one");
  checkBounds("chat", options.from, options.to);
  if (options.boxes !== undefined && !DRAWN_FORMATS[extname(options.boxes).toLowerCase()])
    throw new UsageError(`--boxes ${visible(options.boxes)}: expected a name that ends in .png or .jpg`);
}

/** What a conversation needs: somebody who types, and no option that is for a single answer. */
export function checkInteractive({ input }: Context, { json, boxes }: ChatCommandOptions): void {
  if (!input.isTTY)
    throw new UsageError(
      'chat: there is no question; give one in quotes, as in "What is this?", or pipe a text in',
    );
  const single = json ? "--json" : boxes === undefined ? undefined : "--boxes";
  if (single) throw new UsageError(`chat: ${single} is for one answer; give a question in quotes`);
}

/** What a single question needs of the pictures and videos that come with it. */
export function checkMedia(media: readonly Media[], { boxes, from, to }: ChatCommandOptions): void {
  if (boxes !== undefined && pictureOf(media) === undefined)
    throw new UsageError(
      `--boxes: expected one picture to draw on, found ${media.length === 1 ? "a video" : `${media.length} files`}`,
    );
  if ((from ?? to) !== undefined && !media.some((m) => m.part.type === "video"))
    throw new UsageError(`chat: ${from === undefined ? "--to" : "--from"} is for videos, and there is none`);
}

const temperatureOf = ({ temperature, think }: ChatCommandOptions): number =>
  temperature ?? (think ? THINKING_TEMPERATURE : 0);

export const videoChoice = ({ frames, from, to }: ChatCommandOptions): VideoChoice => ({
  frames,
  ...(from !== undefined && { from }),
  ...(to !== undefined && { to }),
});

/** The system message, where it is not the model's own. */
export const systemOf = ({ system, think }: ChatCommandOptions): string | undefined =>
  think ? THINKING_SYSTEM_MESSAGE : system;

export function chatOptions(options: ChatCommandOptions): ChatOptions {
  const { maxTokens, topP, topK, minP, repetitionPenalty, seed, stop, maxTiles } = options;
  return {
    temperature: temperatureOf(options),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(minP !== undefined && { min_p: minP }),
    ...(repetitionPenalty !== undefined && { repetition_penalty: repetitionPenalty }),
    ...(seed !== undefined && { seed }),
    ...(stop !== undefined && { stop }),
    ...(maxTiles !== undefined && { maxTiles }),
  };
}
