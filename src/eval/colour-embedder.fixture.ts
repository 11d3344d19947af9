import { MediaError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { RgbImage } from "../vision/image.ts";

const COLOURS: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [255, 0, 0],
  green: [0, 255, 0],
  blue: [0, 0, 255],
  yellow: [180, 180, 0],
};

/** An embedder for tests whose results are real: pictures by mean colour, texts by the colour word in them. */
export function colourEmbedder(): Embedder & { readonly calls: { images: number; texts: string[] } } {
  const calls = { images: 0, texts: [] as string[] };
  return {
    calls,
    id: "colours-1",
    dimension: 3,
    imageSize: 2,
    scale: 10,
    async embedImages(images, options) {
      options?.signal?.throwIfAborted();
      calls.images += images.length;
      return images.map((image) =>
        unit([0, 1, 2].map((c) => mean(image.data.filter((_, i) => i % 3 === c)))),
      );
    },
    async embedTexts(texts, options) {
      options?.signal?.throwIfAborted();
      calls.texts.push(...texts);
      return texts.map((text) => {
        const word = Object.keys(COLOURS).find((name) => text.includes(name));
        return unit(word ? [...COLOURS[word]!] : [1, 1, 1]);
      });
    },
    countTokens: (texts) => texts.map((text) => text.split(" ").length),
    [Symbol.asyncDispose]: async () => {},
  };
}

const mean = (values: Uint8Array): number => values.reduce((a, b) => a + b, 0) / values.length;

function unit(v: number[]): Float32Array {
  const norm = Math.hypot(...v) || 1;
  return Float32Array.from(v, (x) => x / norm);
}

/** A 2 × 2 picture of the colour that the path names; MediaError for a path with "broken" in it. */
export async function loadColour(path: string): Promise<RgbImage> {
  if (path.includes("broken")) throw new MediaError(`${path}: not a picture`);
  const colour = Object.entries(COLOURS).find(([name]) => path.includes(name))?.[1] ?? [128, 128, 128];
  return { width: 2, height: 2, data: Uint8Array.from({ length: 12 }, (_, i) => colour[i % 3]!) };
}
