import { type GroundedPart, parseGrounding } from "../../text/grounding.ts";

/** A thing that an answer points at, in thousandths of the picture's width and height. */
export type Pointed = Exclude<GroundedPart, { type: "text" }>;

export interface GroundedAnswer {
  /** Markdown in which `mark(i)` stands for the i-th thing. */
  readonly markdown: string;
  readonly things: readonly Pointed[];
}

/** An answer that points at more repeats itself. */
const MAX_THINGS = 200;

const OPEN = "\uE000";
const CLOSE = "\uE001";

/** What stands in the Markdown for a thing: characters for private use, which the answer itself is freed of. */
export const mark = (index: number): string => `${OPEN}${index}${CLOSE}`;

/** Texts and marks in turn: every second entry is the number of a thing. */
export const splitMarks = (text: string): string[] => text.split(/\uE000(\d+)\uE001/);

/** Tells what an answer says from where it points. `complete`: no more comes, so that what is unfinished is text. */
export function readGrounded(text: string, complete: boolean): GroundedAnswer {
  const { parts, rest } = parseGrounding(text.replace(/[\uE000\uE001]/g, ""), { width: 1000, height: 1000 });
  const things: Pointed[] = [];
  let markdown = "";
  for (const part of parts) {
    if (part.type === "text") markdown += part.text;
    else if (things.length === MAX_THINGS) markdown += part.label;
    else markdown += mark(things.push(part) - 1);
  }
  return { markdown: complete ? markdown + rest : markdown, things };
}

/** What a thing is called on the page. */
export const thingName = (thing: Pointed): string =>
  thing.label || (thing.type === "boxes" ? "box" : "outline");
