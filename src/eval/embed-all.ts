import { InternVLError, MediaError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { RgbImage } from "../vision/image.ts";

/** Embeddings of earlier runs by key. `set` may be lost when the process dies, but never half kept. */
export interface EmbeddingCache {
  /** The key of a picture: changes when its contents do. */
  imageKey(path: string): Promise<string>;
  get(key: string): Float32Array | undefined;
  /** Keeps a batch of embeddings. */
  set(entries: readonly (readonly [key: string, embedding: Float32Array])[]): Promise<void>;
}

export interface EvalProgress {
  readonly phase: "pictures" | "texts" | "ranking" | "prompts";
  readonly done: number;
  readonly total: number;
}

/** What every protocol needs from outside. */
export interface EvalOptions {
  /** Decodes a picture into the model's square; the protocol decides the framing. */
  readonly loadImage: (path: string) => Promise<RgbImage>;
  readonly cache?: EmbeddingCache;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EvalProgress) => void;
  /** Pictures or texts per call of the embedder; default 16 pictures, 64 texts. */
  readonly batchSize?: number;
}

/** How many broken pictures one error lists. */
const LISTED = 10;

/**
 * Embeds pictures in order and hands each result to `accept`; the next batch is decoded while one is embedded.
 * A benchmark over fewer pictures than it names would be another benchmark: when one cannot be read, the rest is
 * only decoded, to find all such, and one MediaError lists them. Other failures pass through.
 */
export async function embedPictures(
  embedder: Embedder,
  paths: readonly string[],
  options: EvalOptions,
  accept: (index: number, embedding: Float32Array) => void,
): Promise<void> {
  const { signal, cache, onProgress, batchSize = 16 } = options;
  const broken: string[] = [];
  let brokenCount = 0;
  const onBroken = (error: MediaError) => {
    brokenCount++;
    if (broken.length < LISTED) broken.push(error.message);
  };
  let next = loadBatch(0);
  for (let start = 0; start < paths.length; start += batchSize) {
    signal?.throwIfAborted();
    const batch = await next;
    next = loadBatch(start + batchSize);
    // Awaited one round later: a rejection must not count as unhandled until then.
    next.catch(() => {});
    const fresh = batch.filter((entry) => entry.image !== undefined);
    if (brokenCount === 0 && fresh.length > 0) {
      const made = await embedder.embedImages(
        fresh.map((entry) => entry.image!),
        signal ? { signal } : {},
      );
      made.forEach((embedding, i) => {
        fresh[i]!.embedding = embedding;
      });
      if (cache) await cache.set(fresh.map((entry) => [entry.key, entry.embedding!] as const));
    }
    if (brokenCount === 0) for (const [i, entry] of batch.entries()) accept(start + i, entry.embedding!);
    onProgress?.({ phase: "pictures", done: Math.min(start + batchSize, paths.length), total: paths.length });
  }
  if (brokenCount > 0)
    throw new MediaError(
      `${brokenCount} of ${paths.length} pictures cannot be read, and a score over the others would not be comparable:\n  ` +
        broken.join("\n  ") +
        (brokenCount > broken.length ? `\n  … and ${brokenCount - broken.length} more` : ""),
    );

  interface Entry {
    readonly key: string;
    image?: RgbImage;
    embedding?: Float32Array;
  }

  function loadBatch(start: number): Promise<Entry[]> {
    return Promise.all(paths.slice(start, start + batchSize).map(loadOne));
  }

  async function loadOne(path: string): Promise<Entry> {
    try {
      const key = cache ? await cache.imageKey(path) : "";
      const known = cache?.get(key);
      if (known) return { key, embedding: known };
      return { key, image: await options.loadImage(path) };
    } catch (error) {
      const reason = unreadable(path, error);
      if (!reason) throw error;
      onBroken(reason);
      return { key: "" };
    }
  }
}

/** The error as a statement about the picture: MediaErrors and failures of the file system; else undefined. */
function unreadable(path: string, error: unknown): MediaError | undefined {
  if (error instanceof MediaError) return error;
  if (error instanceof InternVLError || !(error instanceof Error) || !("syscall" in error)) return undefined;
  return new MediaError(`${path}: ${error.message}`, { cause: error });
}

/** Embeds texts in order and hands each result to `accept`; equal texts are embedded once. */
export async function embedTextList(
  embedder: Embedder,
  texts: readonly string[],
  options: Omit<EvalOptions, "loadImage">,
  accept: (index: number, embedding: Float32Array) => void,
): Promise<void> {
  const { signal, cache, onProgress, batchSize = 64 } = options;
  const places = new Map<string, number[]>();
  texts.forEach((text, i) => {
    const known = places.get(text);
    if (known) known.push(i);
    else places.set(text, [i]);
  });
  const keyOf = (text: string) => `text ${text}`;
  let done = 0;
  const give = (text: string, embedding: Float32Array) => {
    for (const i of places.get(text)!) accept(i, embedding);
    done += places.get(text)!.length;
  };
  const missing: string[] = [];
  for (const text of places.keys()) {
    const known = cache?.get(keyOf(text));
    if (known) give(text, known);
    else missing.push(text);
  }
  for (let start = 0; start < missing.length; start += batchSize) {
    signal?.throwIfAborted();
    const batch = missing.slice(start, start + batchSize);
    const embeddings = await embedder.embedTexts(batch, signal ? { signal } : {});
    if (cache) await cache.set(batch.map((text, i) => [keyOf(text), embeddings[i]!] as const));
    batch.forEach((text, i) => {
      give(text, embeddings[i]!);
    });
    onProgress?.({ phase: "texts", done, total: texts.length });
  }
}
