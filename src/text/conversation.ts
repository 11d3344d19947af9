import { UsageError } from "../core/errors.ts";
import { chatTemplate, layOutTurns, type Turn } from "./chat-templates.ts";
import { type Prompt, type PromptPiece, segmentPieces } from "./prompt-segments.ts";

/** A part of a message. `P` is whatever the caller holds a picture by: an index, a path, pixels. */
export type ContentPart<P> =
  | { readonly type: "text"; readonly text: string }
  /** `maxTiles`: most tiles of this picture; without it, it shares those of its message with others. */
  | { readonly type: "image"; readonly image: P; readonly maxTiles?: number }
  | { readonly type: "video"; readonly frames: readonly P[] };

export interface ChatMessage<P> {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | readonly ContentPart<P>[];
}

/** How the frames of a video are announced: `label`, number, `: <image>`, one a line, and `end` after the last. */
export interface FrameText {
  readonly label: string;
  readonly end: string;
}

/** The variants in the published code. The models were fine-tuned with the dash. */
export const FRAME_TEXTS = {
  /** The model cards, supervised fine-tuning. */
  dash: { label: "Frame-", end: "\n" },
  /** MVBench and the older quick start. */
  plain: { label: "Frame", end: "\n" },
  /** Preference training and the processor of HF repositories, whose template brings the line break. */
  open: { label: "Frame", end: "" },
} as const satisfies Record<string, FrameText>;

export interface ConversationOptions {
  /** Name of the chat template. */
  readonly template: string;
  /** `system_message` of the configuration: null or absent is the template's, any string replaces it. */
  readonly systemMessage?: string | null | undefined;
  /** The tokenizer's added tokens by spelling. */
  readonly specials: ReadonlySet<string>;
  /** One placeholder a picture (default), or one for all pictures of a message, labels then being left out. */
  readonly pictures?: "separate" | "combined";
  readonly frameText?: FrameText;
  /** Tokens that messages may spell; default CONTENT_TAGS. */
  readonly contentTags?: readonly string[];
}

/**
 * The prompt of a conversation for the models in the GitHub format. The assistant's turn is opened after a user's
 * message; a conversation that ends with the assistant's is complete.
 *
 * Pictures of all turns are in it, each where the published code puts it: `<image>` and a line break before the text
 * of its message; with more than one in the conversation, `Image-k: <image>` with k counting through all turns (model
 * cards, streamlit demo). Where texts and pictures take turns inside a message they stay in their order, each picture
 * on a line of its own. Frames of videos have their own labels and do not count. What messages spell is never a token,
 * except `contentTags`. A system message of the conversation comes before that of the configuration.
 *
 * Throws ConfigError for an unknown template, UsageError for a conversation without a user's or assistant's message, a
 * system message that is not the first, pictures in a message that is not the user's, and a video without frames.
 */
export function composePrompt<P>(
  messages: readonly ChatMessage<P>[],
  options: ConversationOptions,
): Prompt<P> {
  const template = chatTemplate(options.template);
  const [system, turns] = readMessages(messages);
  const frameText = options.frameText ?? FRAME_TEXTS.dash;
  const combined = options.pictures === "combined";
  const imageCount = messages.flatMap(partsOf).filter((part) => part.type === "image").length;
  const labelled = imageCount > 1 && !combined;
  const blocks: (readonly P[])[] = [];
  const pieces: PromptPiece[] = [];
  let images = 0;

  const own = (text: string) => pieces.push({ text, own: true });
  const said = (text: string) => pieces.push({ text, own: false });
  const picture = (label: string, block: readonly P[]) => {
    own(label);
    pieces.push({ block: blocks.length });
    blocks.push(block);
  };
  const put = (part: InPrompt<P>) => {
    if (part.type === "text") return said(part.text);
    if (part.type === "images") {
      picture(labelled ? `Image-${++images}: ` : "", part.images);
      return own("\n");
    }
    for (const [i, frame] of part.frames.entries())
      picture(`${i > 0 ? "\n" : ""}${frameText.label}${i + 1}: `, [frame]);
    return own(frameText.end);
  };

  for (const part of layOutTurns(template, system ?? systemParts<P>(options.systemMessage), turns)) {
    if ("own" in part) own(part.own);
    else for (const placed of placePictures(part.content, combined)) put(placed);
  }
  return { segments: segmentPieces(pieces, options.specials, options.contentTags), blocks };
}

type Parts<P> = readonly ContentPart<P>[];

/** A part in its final place. */
type InPrompt<P> =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "images"; readonly images: readonly P[] }
  | { readonly type: "video"; readonly frames: readonly P[] };

function systemParts<P>(message: string | null | undefined): Parts<P> | undefined {
  return typeof message === "string" ? [{ type: "text", text: message }] : undefined;
}

/** The parts of a message that are something: a text that is a string is one part, empty texts are none. */
export function partsOf<P>({ content }: ChatMessage<P>): Parts<P> {
  const parts: Parts<P> = typeof content === "string" ? [{ type: "text", text: content }] : content;
  return parts.filter((part) => part.type !== "text" || part.text !== "");
}

/** Checks what a conversation must be, whatever the template: see `composePrompt`. */
export function readMessages<P>(
  messages: readonly ChatMessage<P>[],
): [system: Parts<P> | undefined, turns: Turn<Parts<P>>[]] {
  let system: Parts<P> | undefined;
  const turns: Turn<Parts<P>>[] = [];
  for (const [i, message] of messages.entries()) {
    const parts = partsOf(message);
    const where = `messages[${i}]`;
    if (message.role !== "user" && parts.some((part) => part.type !== "text"))
      throw new UsageError(
        `${where}: a picture in a message of role ${message.role}; pictures belong to role user`,
      );
    if (parts.some((part) => part.type === "video" && part.frames.length === 0))
      throw new UsageError(`${where}: a video without frames, expected at least one`);
    if (message.role !== "system") turns.push({ role: message.role, content: parts });
    else if (i === 0) system = parts;
    else throw new UsageError(`${where}: a system message; only the first message can be one`);
  }
  if (turns.length === 0)
    throw new UsageError("messages: no message of role user or assistant, expected at least one");
  return [system, turns];
}

/** The parts of a message in the order of the prompt; each picture is a block of its own unless they are combined. */
function placePictures<P>(parts: Parts<P>, combined: boolean): InPrompt<P>[] {
  const pictures = parts.filter((part) => part.type === "image").map((part) => part.image);
  const first = parts.findIndex((part) => part.type === "image");
  const placed = parts.flatMap((part, i): InPrompt<P>[] => {
    if (part.type !== "image") return [part];
    if (!combined) return [{ type: "images", images: [part.image] }];
    return i === first ? [{ type: "images", images: pictures }] : [];
  });
  const isText = (part: InPrompt<P>) => part.type === "text";
  const changes = placed.filter((part, i) => i > 0 && isText(part) !== isText(placed[i - 1]!)).length;
  if (changes < 2) return [...placed.filter((part) => !isText(part)), ...placed.filter(isText)];
  return placed.flatMap((part, i) => {
    const before = placed[i - 1];
    const needsLine = !isText(part) && before?.type === "text" && !/\s$/.test(before.text);
    return needsLine ? [{ type: "text", text: "\n" }, part] : [part];
  });
}
