import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { Rng } from "../core/rng.ts";
import type { Embedder } from "../infer/embedder.ts";
import { ImageTable, type Row } from "./image-table.ts";
import { readManifest } from "./manifest.ts";

/** What tests of the index share: a model of a few lines, pictures, and a look at the rows. */

const COLOURS: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [255, 0, 0],
  green: [0, 255, 0],
  blue: [0, 0, 255],
  yellow: [255, 255, 0],
  black: [0, 0, 0],
  white: [255, 255, 255],
};

export interface FakeOptions {
  readonly id?: string;
  /** Time that a call takes. */
  readonly delayMs?: number;
  /** Called with the number of pictures of each call. */
  readonly onImages?: (count: number) => void;
}

/**
 * A model without weights: pictures become their colour histogram (4 × 4 × 4 bins), texts that of the colours they
 * name; so "red" really finds red pictures.
 */
export function fakeEmbedder({ id = "colours-1", delayMs = 0, onImages }: FakeOptions = {}): Embedder {
  const wait = () => new Promise((resolve) => setTimeout(resolve, delayMs));
  return {
    id,
    dimension: 64,
    imageSize: 16,
    scale: 100,
    embedImages: async (images) => {
      onImages?.(images.length);
      if (delayMs > 0) await wait();
      return images.map(({ data }) => histogram(data));
    },
    embedTexts: async (texts) =>
      texts.map((t) => histogram(t.split(/\W+/).flatMap((word) => COLOURS[word.toLowerCase()] ?? []))),
    // A word is a token, and BOS and EOS.
    countTokens: (texts) => texts.map((t) => t.split(/\W+/).filter(Boolean).length + 2),
    [Symbol.asyncDispose]: async () => {},
  };
}

function histogram(rgb: ArrayLike<number>): Float32Array {
  const bins = new Float32Array(64).fill(1e-3);
  for (let i = 0; i + 2 < rgb.length; i += 3)
    bins[((rgb[i]! >> 6) << 4) | ((rgb[i + 1]! >> 6) << 2) | (rgb[i + 2]! >> 6)]! += 3 / rgb.length;
  const length = Math.hypot(...bins);
  return bins.map((b) => b / length);
}

/** A picture of one colour. */
export const plain = (colour: string, width = 24, height = 16): Promise<Buffer> => {
  const [r, g, b] = COLOURS[colour]!;
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } })
    .png()
    .toBuffer();
};

/** A picture of four coloured patches, different for each seed. */
export function patches(seed: string | number, width = 20, height = 20): Promise<Buffer> {
  const rng = new Rng(`patches/${seed}`);
  const colours = Array.from({ length: 4 }, () => [rng.int(256), rng.int(256), rng.int(256)]);
  const raw = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const x = i % width;
    const y = Math.floor(i / width);
    raw.set(colours[(x * 2 < width ? 0 : 1) + (y * 2 < height ? 0 : 2)]!, i * 3);
  }
  return sharp(raw, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** Writes files, given by their paths below `folder`, with the folders that they need. */
export async function put(
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  for (const [name, contents] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, contents);
  }
}

/** Everything in an index's table, sorted by path, vectors included. */
export async function rowsOf(indexDir: string): Promise<Row[]> {
  const { table: name, dimension } = (await readManifest(indexDir))!;
  const table = await ImageTable.open(indexDir, name, dimension, "existing");
  try {
    const rows = await table.rowsWhere("true");
    return rows.sort((a, b) => (a.path < b.path ? -1 : 1));
  } finally {
    table.close();
  }
}

/** The cosine of two pictures for the fake model, computed without the index. */
export function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
