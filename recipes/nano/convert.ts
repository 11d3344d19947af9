import { createHash } from "node:crypto";
import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp, { type Sharp, type SharpOptions } from "sharp";
import { z } from "zod";
import type { Picture } from "./picture.ts";

/** Side of the converted pictures, pixels: room for random crops around the model's 64. */
export const SIDE = 96;
/** Larger pictures are refused before decoding: the library holds some of 105 to 169 megapixels. */
const PIXELS_MAX = 24_000_000;
/** Around trimmed pictures, pixels: about what the emoji have. */
const MARGIN = 4;
const TIMEOUT = { seconds: 20 } as const;
/** Largest standard deviation over the channels (0-255) below which a picture shows nothing. */
const BLANK_BELOW = 2;
/** Part of the record's name: another way of converting must not reuse old results. */
const METHOD = `webp${SIDE}-3`;

const resultSchema = z.object({ id: z.string(), pixels: z.string(), refused: z.string() });
/** `pixels`: digest of the RGB bytes, "" when `refused` gives the reason why there is no picture. */
export type Converted = z.infer<typeof resultSchema>;

/** The path of a picture below OUT_DIR. */
export function imagePath(id: string): string {
  return `images/${id}.webp`;
}

/**
 * Converts every picture to SIDE×SIDE RGB on white, aspect ratio kept, as WebP. Results are appended to
 * `OUT_DIR/converted-….jsonl`, so an interrupted run goes on where it was. `tick` hears the number done.
 */
export async function convertAll(
  pictures: readonly Picture[],
  outDir: string,
  tick: (done: number) => void,
): Promise<ReadonlyMap<string, Converted>> {
  sharp.concurrency(1); // the pictures are small: parallel between, not inside them
  const record = join(outDir, `converted-${METHOD}.jsonl`);
  const results = await readRecord(record);
  const todo = pictures.filter((p) => !results.has(p.id));
  let next = 0;
  let done = pictures.length - todo.length;
  const worker = async () => {
    for (let at = next++; at < todo.length; at = next++) {
      const result = await convertOne(todo[at]!, outDir);
      results.set(result.id, result);
      await appendFile(record, `${JSON.stringify(result)}\n`);
      tick(++done);
    }
  };
  tick(done);
  await Promise.all(Array.from({ length: 4 }, worker));
  return results;
}

async function readRecord(path: string): Promise<Map<string, Converted>> {
  const text = await readFile(path, "utf8").catch(() => "");
  const results = new Map<string, Converted>();
  // The last line may be cut short by a kill: what does not end in a newline is done again.
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    if (line === "") continue;
    const result = resultSchema.parse(JSON.parse(line));
    results.set(result.id, result);
  }
  if (!text.endsWith("\n") && text !== "") await writeFile(path, text.slice(0, text.lastIndexOf("\n") + 1));
  return results;
}

async function convertOne(picture: Picture, outDir: string): Promise<Converted> {
  const path = join(outDir, imagePath(picture.id));
  try {
    const raw = await render(picture);
    const { channels } = await sharp(raw, RAW).stats();
    if (Math.max(...channels.map((c) => c.stdev)) < BLANK_BELOW) {
      return { id: picture.id, pixels: "", refused: "blank on white" };
    }
    await mkdir(dirname(path), { recursive: true });
    await sharp(raw, RAW).webp({ quality: 92, smartSubsample: true, effort: 4 }).toFile(`${path}.part`);
    await rename(`${path}.part`, path);
    return { id: picture.id, pixels: createHash("sha256").update(raw).digest("hex"), refused: "" };
  } catch (error) {
    return { id: picture.id, pixels: "", refused: (error as Error).message.split("\n")[0]! };
  }
}

const FAST = { compressionLevel: 1 } as const;
const WHITE = { r: 255, g: 255, b: 255, alpha: 1 };
const RAW = { raw: { width: SIDE, height: SIDE, channels: 3 } } as const;

/**
 * [SIDE, SIDE, 3] bytes. Throws what sharp throws: too many pixels, not a picture, took too long.
 * Trimming needs a pipeline of its own, and the margin comes after resizing: within one pipeline sharp trims
 * before it flattens and extends after it resizes, whatever the order of the calls.
 */
async function render(picture: Picture): Promise<Buffer> {
  const options = { limitInputPixels: PIXELS_MAX, failOn: "error" } as const;
  const fit = { fit: "contain", background: WHITE, kernel: "lanczos3" } as const;
  const source = sharp(await inputOf(picture, options), options)
    .timeout(TIMEOUT)
    .toColourspace("srgb")
    .flatten({ background: WHITE });
  let framed: Sharp;
  if (!picture.trim) {
    framed = source.resize(SIDE, SIDE, fit);
  } else {
    const small = { width: 4 * SIDE, height: 4 * SIDE, fit: "inside", withoutEnlargement: true } as const;
    const flat = await source.resize(small).png(FAST).toBuffer();
    // A threshold of 10 of 255 forgives the noise of photographs cut out on white.
    const cut = await sharp(flat).trim({ background: "#ffffff", threshold: 10 }).png(FAST).toBuffer();
    const inner = SIDE - 2 * MARGIN;
    const margins = { top: MARGIN, bottom: MARGIN, left: MARGIN, right: MARGIN, background: WHITE };
    framed = sharp(cut).resize(inner, inner, fit).extend(margins);
  }
  const { data, info } = await framed.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.width !== SIDE || info.height !== SIDE || info.channels !== 3) {
    const found = `${info.width}×${info.height}×${info.channels}`;
    throw new Error(`convert: expected ${SIDE}×${SIDE}×3 bytes of ${picture.id}, found ${found}`);
  }
  return data;
}

/** SVG is drawn at twice the size wanted, whatever size it says it has. */
async function inputOf(picture: Picture, options: SharpOptions): Promise<Buffer> {
  const input = picture.input;
  const bytes = "svg" in input ? Buffer.from(input.svg) : await readFile(input.file);
  if ("file" in input && !input.file.endsWith(".svg")) return bytes;
  const { width = SIDE, height = SIDE } = await sharp(bytes, {
    ...options,
    limitInputPixels: false,
  }).metadata();
  const density = (72 * 2 * SIDE) / Math.max(width, height);
  return sharp(bytes, { ...options, density: Math.min(Math.max(density, 1), 2400) })
    .timeout(TIMEOUT)
    .png(FAST)
    .toBuffer();
}
