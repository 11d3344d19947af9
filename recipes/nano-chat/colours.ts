import type { RgbImage } from "../../src/vision/image.ts";

/** The names that answers about colours use. */
export const COLOURS = [
  ...["red", "orange", "yellow", "green", "blue", "purple"],
  ...["pink", "brown", "black", "grey", "white"],
] as const;
export type Colour = (typeof COLOURS)[number];

/** At this share of what is drawn a colour is one of the picture's; below the lower one it is none. */
const SEEN = 0.12;
const UNSEEN = 0.01;
const MOST = 3;

/** The colour name of a pixel (0-255 each), by hue, saturation and value. */
export function colourOf(r: number, g: number, b: number): Colour {
  const value = Math.max(r, g, b);
  const range = value - Math.min(r, g, b);
  const saturation = value === 0 ? 0 : range / value;
  if (value < 50) return "black";
  if (saturation < 0.15 || range < 20) return value > 215 ? "white" : value < 75 ? "black" : "grey";
  const sector =
    value === r ? ((g - b) / range + 6) % 6 : value === g ? (b - r) / range + 2 : (r - g) / range + 4;
  const hue = sector * 60;
  if (hue >= 345 || hue < 13) return saturation < 0.45 && value > 180 ? "pink" : "red";
  if (hue < 42) return value < 170 || (saturation < 0.5 && value < 225) ? "brown" : "orange";
  if (hue < 68) return value < 125 ? "brown" : "yellow";
  if (hue < 165) return "green";
  if (hue < 255) return "blue";
  if (hue < 295) return "purple";
  return value < 130 ? "purple" : "pink";
}

export interface PictureColours {
  /** Up to three, the largest first. */
  readonly seen: readonly Colour[];
  /** Those of which there is next to nothing. */
  readonly unseen: readonly Colour[];
}

/** The colours of what is drawn: white that reaches the border is paper and does not count. */
export function coloursOf(image: RgbImage): PictureColours {
  const paper = paperOf(image);
  const counts = new Map<Colour, number>(COLOURS.map((colour) => [colour, 0]));
  let drawn = 0;
  for (let i = 0; i < paper.length; i++) {
    if (paper[i]) continue;
    const [r, g, b] = image.data.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
    const colour = colourOf(r, g, b);
    counts.set(colour, counts.get(colour)! + 1);
    drawn++;
  }
  if (drawn === 0) return { seen: ["white"], unseen: COLOURS.filter((colour) => colour !== "white") };
  const largest = [...counts].sort(([, a], [, b]) => b - a);
  return {
    seen: largest
      .filter(([, n]) => n >= SEEN * drawn)
      .slice(0, MOST)
      .map(([colour]) => colour),
    unseen: COLOURS.filter((colour) => counts.get(colour)! < UNSEEN * drawn),
  };
}

/** 1 for pixels that are white and joined to the border by white ones. */
function paperOf({ width, height, data }: RgbImage): Uint8Array {
  const paper = new Uint8Array(width * height);
  const waiting: number[] = [];
  const visit = (x: number, y: number) => {
    const i = y * width + x;
    if (x < 0 || y < 0 || x >= width || y >= height || paper[i]) return;
    if (Math.min(data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!) < 245) return;
    paper[i] = 1;
    waiting.push(i);
  };
  for (let x = 0; x < width; x++) for (const y of [0, height - 1]) visit(x, y);
  for (let y = 0; y < height; y++) for (const x of [0, width - 1]) visit(x, y);
  for (let i = waiting.pop(); i !== undefined; i = waiting.pop()) {
    const [x, y] = [i % width, Math.floor(i / width)];
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ] as const)
      visit(x + dx, y + dy);
  }
  return paper;
}
