import { markerStream, type StreamItem } from "./marker-stream.ts";
import { THINK_TAGS } from "./prompt-segments.ts";

/**
 * The published system message that makes InternVL3 and 3.5 think before they answer; recommended with sampling at
 * temperature 0.6.
 */
export const THINKING_SYSTEM_MESSAGE = [
  "You are an AI assistant that rigorously follows this response protocol:",
  "1. First, conduct a detailed analysis of the question. Consider different angles, potential solutions, and reason through the problem step-by-step. Enclose this entire thinking process within <think> and </think> tags.",
  "2. After the thinking section, provide a clear, concise, and direct answer to the user's question. Separate the answer from the think section with a newline.",
  "Ensure that the thinking process is thorough but remains focused on the query. The final answer should be standalone and not reference the thinking section.",
].join("\n\n");

/** What a model has written, told apart. */
export interface Reply {
  readonly thinking: string;
  readonly answer: string;
}

/** Takes what a model writes in chunks of any size and gives what each adds; the sum does not depend on the chunks. */
export interface ReplySplitter {
  push(chunk: string): Reply;
  /** What waited for more text. */
  end(): Reply;
}

/**
 * The splitter for a chat template. The tokenizer must keep the marks when it decodes: `<think>` and `</think>`, for
 * `internvl3_5_gpt_oss` those of channels.
 */
export function replySplitter(templateName: string): ReplySplitter {
  return templateName === "internvl3_5_gpt_oss" ? channelSplitter() : thinkSplitter();
}

/** A whole reply at once. */
export function splitReply(templateName: string, text: string): Reply {
  const splitter = replySplitter(templateName);
  const reply = splitter.push(text);
  const rest = splitter.end();
  return { thinking: reply.thinking + rest.thinking, answer: reply.answer + rest.answer };
}

type Emit = (part: keyof Reply, text: string) => void;

/** A splitter that reads one item after the other; `finish` is called after the last. */
function splitterOf(
  markers: readonly string[],
  read: (item: StreamItem, emit: Emit) => void,
  finish: (emit: Emit) => void = () => {},
): ReplySplitter {
  const stream = markerStream(markers);
  const readAll = (items: readonly StreamItem[], after: (emit: Emit) => void): Reply => {
    const reply = { thinking: "", answer: "" };
    const emit: Emit = (part, text) => {
      reply[part] += text;
    };
    for (const item of items) read(item, emit);
    after(emit);
    return reply;
  };
  return { push: (chunk) => readAll(stream.push(chunk), () => {}), end: () => readAll(stream.end(), finish) };
}

/**
 * `<think>…</think>` at the beginning of a reply is thinking, the rest is the answer; a section that is not closed is
 * thinking to the end. The whitespace around both marks goes. Elsewhere the marks are text.
 */
export function thinkSplitter(): ReplySplitter {
  const [open, close] = THINK_TAGS;
  let state: "start" | "thinking" | "thought" | "answer" = "start";
  /** Whitespace that may turn out to surround a mark. */
  let space = "";
  let begun = false;

  return splitterOf(
    THINK_TAGS,
    (item, emit) => {
      const text = "text" in item ? item.text : item.marker;
      const marker = "marker" in item ? item.marker : undefined;
      if (state === "answer") emit("answer", text);
      else if (state === "start" && marker === open) {
        state = "thinking";
        space = "";
      } else if (state === "thinking" && marker === close) {
        state = "thought";
        space = "";
      } else if (state === "thinking") {
        const words = begun ? space + text : text.trimStart();
        const said = words.trimEnd();
        space = words.slice(said.length);
        begun ||= said !== "";
        emit("thinking", said);
      } else {
        const words = state === "start" ? space + text : text.trimStart();
        if (words.trim() === "") space = words;
        else {
          state = "answer";
          emit("answer", words);
        }
      }
    },
    (emit) => {
      if (state === "start") emit("answer", space);
    },
  );
}

const CHANNEL_MARKS = {
  start: "<|start|>",
  channel: "<|channel|>",
  constrain: "<|constrain|>",
  message: "<|message|>",
  end: "<|end|>",
  return: "<|return|>",
  call: "<|call|>",
} as const;

/**
 * Messages in channels, as gpt-oss writes them: the text of `final` (and of a message without a channel) is the answer,
 * that of others, such as `analysis`, is thinking; headers and marks go. A line break separates messages of one kind. Text
 * before any mark is the answer; what follows `<|return|>` or `<|call|>` is dropped.
 */
export function channelSplitter(): ReplySplitter {
  const marks = CHANNEL_MARKS;
  // A prompt ends after `<|start|>assistant`: the first message has no such mark.
  let state: "fresh" | "role" | "channel" | "format" | "message" | "over" = "fresh";
  let channel = "";
  const written = { thinking: false, answer: false };
  let separate = false;

  return splitterOf(Object.values(marks), (item, emit) => {
    if (state === "over") return;
    if ("marker" in item) {
      if (item.marker === marks.return || item.marker === marks.call) state = "over";
      else if (item.marker === marks.constrain) state = "format";
      else if (item.marker === marks.message) {
        state = "message";
        separate = true;
      } else {
        state = item.marker === marks.channel ? "channel" : "role";
        channel = "";
      }
      return;
    }
    if (state === "channel") channel += item.text;
    if (state === "fresh") state = "message";
    if (state !== "message") return;
    const name = channel.trim().split(/\s/, 1)[0]!;
    const part = name === "" || name === "final" ? "answer" : "thinking";
    emit(part, separate && written[part] ? `\n${item.text}` : item.text);
    written[part] = true;
    separate = false;
  });
}
