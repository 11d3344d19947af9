import { ConfigError, UsageError } from "../core/errors.ts";
import { type ChatMessage, type ContentPart, FRAME_TEXTS, partsOf, readMessages } from "./conversation.ts";
import { renderJinja } from "./jinja-interpreter.ts";
import {
  CONTENT_TAGS,
  type Prompt,
  type PromptPiece,
  segmentPieces,
  spellingPattern,
} from "./prompt-segments.ts";

export interface JinjaOptions {
  /** The tokenizer's added tokens by spelling. */
  readonly specials: ReadonlySet<string>;
  /** Begins messages: the template's path. */
  readonly where?: string;
  /** What the template writes for a picture: the tokenizer's context token, or `<image>` of earlier uploads. */
  readonly imageMarkers?: readonly string[];
  /** What it writes for a video: `video_token` of the tokenizer's configuration. */
  readonly videoMarkers?: readonly string[];
  /** Further variables of the template, such as `bos_token`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Tokens that messages may spell; default CONTENT_TAGS. */
  readonly contentTags?: readonly string[];
  /** What `strftime_now` reads; default now. */
  readonly now?: Date;
}

/**
 * The prompt of a conversation by the `chat_template.jinja` of a repository in the HF format. Nothing is added: these
 * templates have no system message of their own. Each marker of a picture becomes its block, each of a video one line
 * a frame, as the published processor replaces them. After a user's message the assistant's turn is asked for.
 *
 * What messages spell is never a token, except `contentTags`: before the template sees a text, the characters that begin
 * or end any token or marker are replaced one by one by private-use characters that occur nowhere else, so that no token
 * can come about whatever the template does to the text (trims, joins, compares), and they are put back afterwards.
 *
 * A template that knows texts alone, as those of language models and of GGUF files do, sees a message as one: pictures and
 * videos as the markers and line breaks that the HF format's templates write for them.
 *
 * Throws ConfigError for a template that fails or does not write one marker a picture, UsageError as `composePrompt`
 * does.
 */
export function renderChatTemplate<P>(
  template: string,
  messages: readonly ChatMessage<P>[],
  options: JinjaOptions,
): Prompt<P> {
  const { where = "chat_template.jinja", imageMarkers = ["<IMG_CONTEXT>", "<image>"] } = options;
  const { videoMarkers = ["<video>", "<|video_pad|>"], contentTags = CONTENT_TAGS } = options;
  readMessages(messages);
  const markers = new Set([...imageMarkers, ...videoMarkers]);
  const parts = messages.flatMap(partsOf);
  const images = parts.flatMap((part) => (part.type === "image" ? [part.image] : []));
  const videos = parts.flatMap((part) => (part.type === "video" ? [part.frames] : []));
  const tokens = [...options.specials, ...markers];
  const shield = makeShield(
    tokens,
    contentTags.filter((tag) => options.specials.has(tag) && !markers.has(tag)),
    [
      template,
      ...parts.flatMap((part) => (part.type === "text" ? [part.text] : [])),
      ...Object.values(options.variables ?? {}).map(String),
    ],
  );
  const pattern = spellingPattern(markers);
  const render = (show: (parts: readonly ContentPart<P>[]) => unknown): string[] => {
    const rendered = renderJinja(
      template,
      {
        ...options.variables,
        messages: messages.map((message) => ({ role: message.role, content: show(partsOf(message)) })),
        add_generation_prompt: messages.at(-1)!.role === "user",
      },
      where,
      options.now ?? new Date(),
    );
    return pattern ? rendered.split(pattern) : [rendered];
  };
  const marks = { image: `${imageMarkers[0]}\n`, video: `${videoMarkers[0]}\n` };
  const asText = (parts: readonly ContentPart<P>[]) =>
    parts.map((part) => (part.type === "text" ? shield.hide(part.text) : marks[part.type])).join("");
  const asParts = (parts: readonly ContentPart<P>[]) =>
    parts.every((part) => part.type === "text")
      ? asText(parts)
      : parts.map((part) =>
          part.type === "text" ? { ...part, text: shield.hide(part.text) } : { type: part.type },
        );
  const count = (texts: readonly string[], names: readonly string[]) =>
    texts.filter((text) => names.includes(text)).length;
  const isWhole = (texts: readonly string[]) =>
    count(texts, imageMarkers) === images.length && count(texts, videoMarkers) === videos.length;
  const typed = parts.every((part) => part.type === "text") ? undefined : tried(() => render(asParts));
  const texts = typed !== undefined && isWhole(typed) ? typed : render(asText);
  if (!isWhole(texts))
    throw new ConfigError(
      `${where}: the template wrote ${count(texts, imageMarkers)} markers for ${images.length} pictures and ${count(texts, videoMarkers)} for ${videos.length} videos; expected one each, of ${[...markers].join(" ")}`,
    );

  const blocks: (readonly P[])[] = [];
  const pieces: PromptPiece[] = [];
  const block = (picture: P) => {
    pieces.push({ block: blocks.length });
    blocks.push([picture]);
  };
  const next = { image: 0, video: 0 };
  for (const [i, text] of texts.entries()) {
    if (i % 2 === 0) pieces.push(...shield.reveal(text));
    else if (imageMarkers.includes(text)) block(images[next.image++]!);
    else {
      const { label, end } = FRAME_TEXTS.open;
      for (const [k, frame] of videos[next.video++]!.entries()) {
        pieces.push({ text: `${k > 0 ? "\n" : ""}${label}${k + 1}: `, own: true });
        block(frame);
      }
      pieces.push({ text: end, own: true });
    }
  }
  return { segments: segmentPieces(pieces, options.specials, contentTags), blocks };
}

/** What a template writes; undefined where it fails. */
function tried<T>(write: () => T): T | undefined {
  try {
    return write();
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

interface Shield {
  hide(text: string): string;
  /** What was hidden, as text that is not the template's own. */
  reveal(text: string): PromptPiece[];
}

/** `allowed` are the tokens that stay readable inside texts; `taken` are all texts that stand-ins must not occur in. */
function makeShield(tokens: readonly string[], allowed: readonly string[], taken: readonly string[]): Shield {
  const edges = new Set(
    tokens.flatMap((token) => [...Array.from(token).slice(0, 1), ...Array.from(token).slice(-1)]),
  );
  const used = new Set(`${taken.join("")}${tokens.join("")}`.match(/\p{Co}/gu));
  const standIns = new Map<string, string>();
  let code = 0xe000;
  for (const edge of edges) {
    while (used.has(String.fromCodePoint(code))) code++;
    if (code > 0xf8ff)
      throw new UsageError(
        "messages: they hold all characters for private use, of which the chat template needs some; remove them",
      );
    standIns.set(edge, String.fromCodePoint(code++));
  }
  const originals = new Map([...standIns].map(([edge, standIn]) => [standIn, edge]));
  const keep = spellingPattern(allowed);
  const hidden = spellingPattern(originals.keys());
  const cover = (text: string) => Array.from(text, (char) => standIns.get(char) ?? char).join("");
  return {
    hide: (text) =>
      (keep ? text.split(keep) : [text]).map((part, i) => (i % 2 === 0 ? cover(part) : part)).join(""),
    reveal: (text) =>
      (hidden ? text.split(hidden) : [text]).map((part, i) =>
        i % 2 === 0 ? { text: part, own: true } : { text: originals.get(part)!, own: false },
      ),
  };
}
