import sharp from "sharp";
import { MediaError, UsageError } from "../core/errors.ts";
import type { RgbImage } from "./image.ts";

/** A rectangle with what it shows. */
export interface LabelledBox {
  readonly label: string;
  /** Left, upper, right and lower edge in pixels of the picture. */
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
}

export interface DrawOptions {
  /** Of the file that is made. Default "png". */
  readonly format?: "png" | "jpeg";
}

/** A model's answer may name boxes without end. */
const MAX_BOXES = 1000;
const MAX_LABEL_CHARACTERS = 60;

/** The drawing library's limit for one side. */
const MAX_SIDE = 32_767;

/** Colours that remain apart for the colour-blind (Okabe and Ito 2008), without black; one for each label, in turn. */
const COLOURS = ["#d55e00", "#56b4e9", "#f0e442", "#009e73", "#cc79a7", "#0072b2", "#e69f00"] as const;

/**
 * Draws labelled boxes on a picture and encodes it: the bytes of a PNG or JPEG of the same size. Boxes of one label
 * have one colour; what lies outside the picture is cut off; the line is as wide as suits the picture. Labels are plain
 * text, in the system's fonts: without one for a script its characters are blanks or codes. Decode the picture as the
 * model saw it (`orientation`), since the boxes refer to that.
 *
 * Throws a UsageError for boxes that are not numbers or whose edges are the wrong way round, or more than can be seen,
 * and a MediaError for a picture that is too long to draw on.
 */
export async function drawBoxes(
  image: RgbImage,
  boxes: readonly LabelledBox[],
  { format = "png" }: DrawOptions = {},
): Promise<Uint8Array> {
  checkBoxes(image, boxes);
  const { width, height, data } = image;
  const overlay = Buffer.from(boxesSvg(width, height, boxes));
  const raw = { width, height, channels: 3 } as const;
  const drawn = sharp(data, { raw, limitInputPixels: false }).composite([
    { input: overlay, left: 0, top: 0, limitInputPixels: false },
  ]);
  const encoded = format === "png" ? drawn.removeAlpha().png() : drawn.jpeg({ quality: 90 });
  return encoded.toBuffer();
}

function checkBoxes({ width, height }: RgbImage, boxes: readonly LabelledBox[]): void {
  if (Math.max(width, height) > MAX_SIDE)
    throw new MediaError(
      `drawBoxes: expected a picture of at most ${MAX_SIDE} pixels a side, found ${width}×${height}; shrink it, and the boxes with it`,
    );
  if (boxes.length > MAX_BOXES)
    throw new UsageError(
      `drawBoxes: expected at most ${MAX_BOXES} boxes, found ${boxes.length}; choose some of them`,
    );
  const odd = boxes.flatMap(({ box: [x1, y1, x2, y2] }, i) =>
    [x1, y1, x2, y2].every(Number.isFinite) && x1 <= x2 && y1 <= y2
      ? []
      : [`box ${i} is [${[x1, y1, x2, y2].join(", ")}]`],
  );
  if (odd.length > 0)
    throw new UsageError(
      `drawBoxes: expected boxes of numbers [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2; ${odd.slice(0, 5).join("; ")}${odd.length > 5 ? `; and ${odd.length - 5} more` : ""}; correct or leave them out`,
    );
}

function boxesSvg(width: number, height: number, boxes: readonly LabelledBox[]): string {
  const short = Math.min(width, height);
  // Even, so that lines of whole coordinates cover whole pixels.
  const stroke = 2 * Math.max(1, Math.round(short / 400));
  const fontSize = Math.max(11, Math.round(short / 32));
  const labels = [...new Set(boxes.map(({ label }) => label))];
  const shapes = boxes.map(({ label, box }) => {
    const colour = COLOURS[labels.indexOf(label) % COLOURS.length]!;
    const [x1, x2] = [clamp(box[0], width), clamp(box[2], width)];
    const [y1, y2] = [clamp(box[1], height), clamp(box[3], height)];
    // SVG draws no rectangle without width or height.
    const size = `width="${fixed(Math.max(0.01, x2 - x1))}" height="${fixed(Math.max(0.01, y2 - y1))}"`;
    const frame = `<rect x="${fixed(x1)}" y="${fixed(y1)}" ${size} fill="none" stroke="${colour}" stroke-width="${stroke}" shape-rendering="crispEdges"/>`;
    return { frame, plate: plateSvg(label, colour, [x1, y1], { width, height, fontSize, stroke }) };
  });
  // Labels lie above all lines.
  const parts = [...shapes.map((s) => s.frame), ...shapes.map((s) => s.plate)];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif">${parts.join("")}</svg>`;
}

interface PlateSizes {
  readonly width: number;
  readonly height: number;
  readonly fontSize: number;
  readonly stroke: number;
}

/** The label on a plate of its colour: above the corner where there is room, else inside the box. */
function plateSvg(
  label: string,
  colour: string,
  [x, y]: readonly [number, number],
  { width, height, fontSize, stroke }: PlateSizes,
): string {
  const text = shorten(label);
  if (text === "") return "";
  const plateWidth = Math.round(textWidth(text, fontSize) + fontSize * 0.6);
  const plateHeight = Math.round(fontSize * 1.4);
  const left = Math.round(Math.max(0, Math.min(x - stroke / 2, width - plateWidth)));
  const above = y - stroke / 2 - plateHeight;
  const top = Math.round(above >= 0 ? above : Math.max(0, Math.min(y - stroke / 2, height - plateHeight)));
  // The nested svg cuts off what a font makes wider than was reckoned.
  return `<svg x="${left}" y="${top}" width="${plateWidth}" height="${plateHeight}"><rect width="${plateWidth}" height="${plateHeight}" fill="${colour}"/><text x="${fixed(fontSize * 0.3)}" y="${fixed(fontSize * 1.05)}" font-size="${fontSize}" fill="${isLight(colour) ? "#000000" : "#ffffff"}">${escapeXml(text)}</text></svg>`;
}

/** One line, of characters that XML may hold. */
function shorten(label: string): string {
  const plain = label.replace(/\s+/g, " ").trim();
  const characters = Array.from(plain.replace(/[^\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD"));
  return characters.length <= MAX_LABEL_CHARACTERS
    ? characters.join("")
    : `${characters.slice(0, MAX_LABEL_CHARACTERS - 1).join("")}…`;
}

/** What a sans-serif font needs at most, roughly; characters from the East Asian scripts on are as wide as high. */
const textWidth = (text: string, fontSize: number): number =>
  Array.from(text).reduce((sum, c) => sum + characterEm(c), 0) * fontSize;

function characterEm(c: string): number {
  if (c.codePointAt(0)! >= 0x1100 || /[MWmw@%]/.test(c)) return 1;
  return /[A-Z]/.test(c) ? 0.78 : 0.62;
}

const escapeXml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** Whether black can be read on it better than white (relative luminance of WCAG 2, without its gamma). */
function isLight(colour: string): boolean {
  const [r, g, b] = [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b! > 127;
}

const clamp = (v: number, most: number): number => Math.min(most, Math.max(0, v));

const fixed = (v: number): string => v.toFixed(2);
