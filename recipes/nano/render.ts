import { readFile } from "node:fs/promises";
import sharp, { type Sharp, type SharpOptions } from "sharp";
import type { Picture } from "./picture.ts";

/** Larger pictures are refused before decoding: the library holds some of 105 to 169 megapixels. */
const PIXELS_MAX = 24_000_000;
const TIMEOUT = { seconds: 20 } as const;
const FAST = { compressionLevel: 1 } as const;
/** Share of the side left white around trimmed pictures: about what the emoji have. */
const MARGIN = 1 / 24;
const WHITE = { r: 255, g: 255, b: 255, alpha: 1 };

/** How sharp is told that a buffer is [side, side, 3] bytes. */
export function rawOf(side: number) {
  return { raw: { width: side, height: side, channels: 3 } } as const;
}

/**
 * A picture on white: [side, side, 3] bytes, aspect ratio kept. Throws what sharp throws: too many pixels, not a picture, took too long.
 * Trimming needs a pipeline of its own, and the margin comes after resizing: within one pipeline sharp trims
 * before it flattens and extends after it resizes, whatever the order of the calls.
 */
export async function renderPicture(picture: Picture, side: number): Promise<Buffer> {
  const options = { limitInputPixels: PIXELS_MAX, failOn: "error" } as const;
  const fit = { fit: "contain", background: WHITE, kernel: "lanczos3" } as const;
  const source = sharp(await inputOf(picture, side, options), options)
    .timeout(TIMEOUT)
    .toColourspace("srgb")
    .flatten({ background: WHITE });
  let framed: Sharp;
  if (!picture.trim) {
    framed = source.resize(side, side, fit);
  } else {
    const small = { width: 4 * side, height: 4 * side, fit: "inside", withoutEnlargement: true } as const;
    const flat = await source.resize(small).png(FAST).toBuffer();
    // A threshold of 10 of 255 forgives the noise of photographs cut out on white.
    const cut = await sharp(flat).trim({ background: "#ffffff", threshold: 10 }).png(FAST).toBuffer();
    const margin = Math.round(side * MARGIN);
    const inner = side - 2 * margin;
    const margins = { top: margin, bottom: margin, left: margin, right: margin, background: WHITE };
    framed = sharp(cut).resize(inner, inner, fit).extend(margins);
  }
  const { data, info } = await framed.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.width !== side || info.height !== side || info.channels !== 3) {
    const found = `${info.width}×${info.height}×${info.channels}`;
    throw new Error(`renderPicture: expected ${side}×${side}×3 bytes of ${picture.id}, found ${found}`);
  }
  return data;
}

/** SVG is drawn at twice the size wanted, whatever size it says it has. */
async function inputOf(picture: Picture, side: number, options: SharpOptions): Promise<Buffer> {
  const input = picture.input;
  const bytes = "svg" in input ? Buffer.from(input.svg) : await readFile(input.file);
  if ("file" in input && !input.file.endsWith(".svg")) return bytes;
  const { width = side, height = side } = await sharp(bytes, {
    ...options,
    limitInputPixels: false,
  }).metadata();
  const density = (72 * 2 * side) / Math.max(width, height);
  return sharp(bytes, { ...options, density: Math.min(Math.max(density, 1), 2400) })
    .timeout(TIMEOUT)
    .png(FAST)
    .toBuffer();
}
