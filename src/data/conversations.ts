import { z } from "zod";
import type { ChatMessage, ContentPart } from "../text/conversation.ts";
import { IMAGE_PLACEHOLDER } from "../text/prompt-segments.ts";
import { parseJsonLine, parseJsonLines } from "./json-lines.ts";
import { staysInside } from "./manifest.ts";

const MAX_TURNS = 1000;

const turn = z.strictObject({
  from: z.enum(["system", "human", "gpt"]),
  value: z.string().max(1_000_000, "a turn is too long"),
});

/** One line of an annotation (OpenGVLab/InternVL, "chat data"). Unknown fields are errors: most are misspellings. */
const row = z.strictObject({
  id: z.union([z.string(), z.int()]).optional(),
  /** Path of the picture below the root, with forward slashes. */
  image: z
    .union([z.string().min(1).max(4096), z.tuple([z.string().min(1).max(4096)])], {
      error: "expected the path of one picture; rows with several are not supported",
    })
    .optional(),
  width: z.int().optional(),
  height: z.int().optional(),
  conversations: z.array(turn).min(2).max(MAX_TURNS),
});

/** A conversation to train on. */
export interface ConversationRow {
  /** Line of the file, from 1. */
  readonly line: number;
  /** The picture as the file names it; absent for a row of text alone. */
  readonly image?: string;
  /** The path to open. */
  readonly path?: string;
  readonly messages: readonly ChatMessage<string>[];
}

export interface AnnotationOptions {
  /** How messages call the file. */
  readonly name: string;
  /** Joins a checked relative path with the root. */
  readonly resolve: (image: string) => string;
}

/**
 * Rows of a file of conversations. The picture stands where the first human turn spells `<image>`, or before it; other
 * turns may not spell it. Throws a ConfigError that lists the wrong lines.
 */
export async function* parseAnnotation(
  lines: AsyncIterable<string> | Iterable<string>,
  options: AnnotationOptions,
): AsyncGenerator<ConversationRow> {
  let line = 0;
  const numbered = async function* () {
    for await (const text of lines) {
      line++;
      yield text;
    }
  };
  yield* parseJsonLines(numbered(), (text) => parseRow(text, line, options), {
    name: options.name,
    form: 'one conversation a line as { "image": "…", "conversations": [{ "from": "human", "value": "…" }, { "from": "gpt", "value": "…" }] }',
    atLeastOne: "at least one line with a conversation, found none",
  });
}

function parseRow(text: string, line: number, { resolve }: AnnotationOptions): ConversationRow | string {
  const parsed = parseJsonLine(text, row);
  if (typeof parsed === "string") return parsed;
  const image = typeof parsed.image === "string" ? parsed.image : parsed.image?.[0];
  if (image !== undefined && !staysInside(image))
    return `image: expected a path below the root, found "${image}"; move the picture there`;
  const turns = parsed.conversations;
  const first = turns.findIndex(({ from }) => from === "human");
  const system = turns[0]?.from === "system" ? turns[0].value : undefined;
  const rest = system === undefined ? turns : turns.slice(1);
  const wrong = rest.findIndex(({ from }, i) => from !== (i % 2 === 0 ? "human" : "gpt"));
  if (wrong >= 0 || rest.length === 0 || rest.length % 2 !== 0)
    return "conversations: expected a system turn or none, then human and gpt in turns, gpt last";
  const spelled = turns.map(({ value }) => value.split(IMAGE_PLACEHOLDER).length - 1);
  const allowed = image === undefined ? 0 : 1;
  if (spelled.some((n, i) => n > (i === first ? allowed : 0)))
    return `conversations: ${IMAGE_PLACEHOLDER} is spelled more often than the row has pictures, or not in the first human turn`;
  const messages: ChatMessage<string>[] = rest.map(({ from, value }, i) =>
    from === "gpt"
      ? { role: "assistant", content: value }
      : { role: "user", content: i === 0 && image !== undefined ? withPicture(value, image) : value },
  );
  if (system !== undefined) messages.unshift({ role: "system", content: system });
  return { line, messages, ...(image !== undefined && { image, path: resolve(image) }) };
}

/** The parts of a turn that has the picture; the line break after the placeholder belongs to it. */
function withPicture(value: string, image: string): ContentPart<string>[] {
  const [before, after] = value.includes(IMAGE_PLACEHOLDER) ? value.split(IMAGE_PLACEHOLDER) : ["", value];
  return [
    { type: "text", text: before! },
    { type: "image", image },
    { type: "text", text: after!.replace(/^\n/, "") },
  ];
}
