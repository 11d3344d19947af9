import { UsageError } from "../core/errors.ts";
import { unfinishedLength } from "./marker-stream.ts";
import { GROUNDING_TAGS } from "./prompt-segments.ts";

/** A rectangle in pixels of a picture: left, top, right, bottom. */
export interface Box {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** A stretch of an answer. `label` is what `<ref>` says, empty where a box has none. */
export type GroundedPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "boxes"; readonly label: string; readonly boxes: readonly Box[] }
  | { readonly type: "polygons"; readonly label: string; readonly polygons: readonly (readonly Point[])[] };

export interface GroundedText {
  readonly parts: readonly GroundedPart[];
  /** The end of the text if it could still become a box: empty once an answer is complete, else to be shown as text. */
  readonly rest: string;
}

/** Coordinates are thousandths of the whole picture's width and height, whatever tiles it was cut into. */
const SCALE = 1000;

/** The published question for what a phrase describes. Throws UsageError for a phrase with a grounding mark in it. */
export function referPrompt(phrase: string): string {
  return `Please provide the bounding box coordinate of the region this sentence describes: ${marked("ref", phrase)}`;
}

/** The published question for all objects. */
export const DETECT_PROMPT =
  "Please detect and label all objects in the following image and mark their positions.";

/**
 * Boxes in the model's words, `<ref>label</ref><box>[[x1, y1, x2, y2], …]</box>`, from pixels of a picture of `size`;
 * coordinates outside are moved to its border. Throws UsageError for no boxes, numbers that are not finite, a
 * size that is not positive, or a label with a grounding mark in it.
 */
export function formatBoxes(label: string, boxes: readonly Box[], size: PictureSize): string {
  checkSize("formatBoxes", size);
  if (boxes.length === 0) throw new UsageError("formatBoxes: no boxes given, expected at least one");
  const odd = boxes.find((box) => ![box.x1, box.y1, box.x2, box.y2].every(Number.isFinite));
  if (odd) throw new UsageError(`formatBoxes: a box of ${JSON.stringify(odd)}, expected finite numbers`);
  const scaled = (value: number, length: number) => roundHalfEven(clamp(value / length, 1) * SCALE);
  const rows = boxes.map(({ x1, y1, x2, y2 }) =>
    [scaled(x1, size.width), scaled(y1, size.height), scaled(x2, size.width), scaled(y2, size.height)].join(
      ", ",
    ),
  );
  return `${marked("ref", label)}<box>[${rows.map((row) => `[${row}]`).join(", ")}]</box>`;
}

/**
 * Reads the boxes in an answer, or in as much of it as there is. Coordinates become pixels of a picture of `size`, moved
 * to its border when they lie outside; corners are put in order. `<quad>` holds a polygon a row, as x and y in turn. What
 * is not well-formed stays text. Throws UsageError for a size that is not positive.
 */
export function parseGrounding(text: string, size: PictureSize): GroundedText {
  checkSize("parseGrounding", size);
  const cut = text.length - unfinishedLength(text, GROUNDING_TAGS, LONGEST_TAG);
  // Every second piece is a mark: that is what split does with a captured separator.
  const pieces = text.slice(0, cut).split(TAG);
  const parts: GroundedPart[] = [];
  let plain = "";
  for (let at = 0; at < pieces.length; ) {
    const found = at % 2 === 0 ? undefined : readObject(pieces, at, size);
    if (found === "unfinished") {
      const rest = pieces.slice(at).join("") + text.slice(cut);
      return { parts: withText(parts, plain), rest };
    }
    if (found === undefined) plain += pieces[at++]!;
    else {
      withText(parts, plain);
      plain = "";
      parts.push(found.part);
      at = found.next;
    }
  }
  return { parts: withText(parts, plain), rest: text.slice(cut) };
}

/**
 * The first four numbers in brackets, as the published evaluation of referring expressions reads answers; undefined if
 * there are none. Numbers whose sum is below 4 are fractions of the picture, others thousandths.
 */
export function firstBox(text: string, size: PictureSize): Box | undefined {
  checkSize("firstBox", size);
  const match = FOUR_NUMBERS.exec(text);
  if (!match) return undefined;
  const numbers = match.slice(1).map(Number);
  const scale = numbers.reduce((sum, n) => sum + n, 0) < 4 ? 1 : SCALE;
  return toBox(numbers, size, scale);
}

const TAG = /(<\/?(?:ref|box|quad)>)/;
const LONGEST_TAG = Math.max(...GROUNDING_TAGS.map((tag) => tag.length));
const NUMBER = String.raw`\s*(-?\d{1,9}(?:\.\d{0,9})?)\s*`;
const FOUR_NUMBERS = new RegExp(String.raw`\[${[NUMBER, NUMBER, NUMBER, NUMBER].join(",")}\]`);

function withText(parts: GroundedPart[], text: string): GroundedPart[] {
  if (text !== "") parts.push({ type: "text", text });
  return parts;
}

/** The object whose first mark is `pieces[at]`; `next` is the piece after it. */
function readObject(
  pieces: readonly string[],
  at: number,
  size: PictureSize,
): { part: GroundedPart; next: number } | "unfinished" | undefined {
  let label = "";
  let next = at;
  const ends = () => next >= pieces.length;
  if (pieces[next] === "<ref>") {
    label = pieces[next + 1]!.trim();
    next += 2;
    if (ends()) return "unfinished";
    if (pieces[next] !== "</ref>" || pieces[next + 1]!.trim() !== "") return undefined;
    next += 2;
    if (ends()) return "unfinished";
  }
  const open = pieces[next];
  if (open !== "<box>" && open !== "<quad>") return undefined;
  const rows = pieces[next + 1]!;
  next += 2;
  if (ends()) return /^[\s\d.,[\]-]*$/.test(rows) ? "unfinished" : undefined;
  if (pieces[next] !== open.replace("<", "</")) return undefined;
  const part = readRows(rows, label, open, size);
  return part && { part, next: next + 1 };
}

function readRows(
  text: string,
  label: string,
  open: "<box>" | "<quad>",
  size: PictureSize,
): GroundedPart | undefined {
  const rows = parseRows(text);
  if (rows === undefined) return undefined;
  if (open === "<box>") {
    if (rows.some((row) => row.length !== 4)) return undefined;
    return { type: "boxes", label, boxes: rows.map((row) => toBox(row, size, SCALE)) };
  }
  if (rows.some((row) => row.length < 6 || row.length % 2 === 1)) return undefined;
  const polygon = (row: readonly number[]) =>
    Array.from({ length: row.length / 2 }, (_, i) => ({
      x: toPixels(row[2 * i]!, size.width, SCALE),
      y: toPixels(row[2 * i + 1]!, size.height, SCALE),
    }));
  return { type: "polygons", label, polygons: rows.map(polygon) };
}

/** `[[1, 2], [3, 4]]`, or a single row without the outer brackets; undefined for anything else. */
function parseRows(text: string): number[][] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const rows: unknown[] = value.every(Number.isFinite) ? [value] : value;
  return rows.every((row) => Array.isArray(row) && row.every(Number.isFinite))
    ? (rows as number[][])
    : undefined;
}

const clamp = (value: number, highest: number) => Math.min(Math.max(value, 0), highest);
const toPixels = (value: number, length: number, scale: number) => clamp((value / scale) * length, length);

function toBox(row: readonly number[], { width, height }: PictureSize, scale: number): Box {
  const [a, b, c, d] = row as [number, number, number, number];
  const xs = [toPixels(a, width, scale), toPixels(c, width, scale)] as const;
  const ys = [toPixels(b, height, scale), toPixels(d, height, scale)] as const;
  return { x1: Math.min(...xs), y1: Math.min(...ys), x2: Math.max(...xs), y2: Math.max(...ys) };
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function marked(tag: "ref", text: string): string {
  if (TAG.test(text))
    throw new UsageError(
      `grounding: ${JSON.stringify(text)} holds one of the marks ${GROUNDING_TAGS.join(" ")}; leave them out`,
    );
  return `<${tag}>${text}</${tag}>`;
}

function checkSize(where: string, { width, height }: PictureSize): void {
  if (!(width > 0 && height > 0 && Number.isFinite(width * height)))
    throw new UsageError(`${where}: a picture of ${width}×${height} pixels, expected positive sizes`);
}
