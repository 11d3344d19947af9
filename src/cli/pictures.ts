import { stat } from "node:fs/promises";
import { MediaError, UsageError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { Framing, RgbImage } from "../vision/image.ts";
import type { Context } from "./context.ts";
import { counted } from "./table.ts";

const BATCH = 16;

/** A picture that was embedded, or the reason why not. */
export type EmbeddedFile =
  | { readonly path: string; readonly embedding: Float32Array }
  | { readonly path: string; readonly error: string };

/** Throws one UsageError that names every path that is no file, before a model is loaded for nothing. */
export async function checkFiles(paths: readonly string[]): Promise<void> {
  const problems = await Promise.all(
    paths.map(async (path) => {
      const info = await stat(path).catch(() => undefined);
      if (!info) return `${path}: there is no such file`;
      return info.isDirectory()
        ? `${path}: is a folder; name the pictures in it, as in ${path}/*.jpg`
        : undefined;
    }),
  );
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new UsageError(found.join("\n"));
}

/** Embeds files in order, a batch at a time; the next batch is decoded meanwhile. A broken one does not stop it. */
export async function* embedFiles(
  context: Context,
  embedder: Embedder,
  paths: readonly string[],
  framing: Framing,
): AsyncGenerator<EmbeddedFile> {
  const { signal, services } = context;
  const load = async (path: string): Promise<RgbImage | MediaError> => {
    try {
      return await services.loadImage(path, { size: embedder.imageSize, framing });
    } catch (error) {
      if (error instanceof MediaError) return error;
      throw error;
    }
  };
  const loadBatch = (start: number) => {
    const batch = Promise.all(paths.slice(start, start + BATCH).map(load));
    // It is awaited a round later; until then a failure must not count as unhandled.
    batch.catch(() => {});
    return batch;
  };
  let next = loadBatch(0);
  for (let start = 0; start < paths.length; start += BATCH) {
    signal.throwIfAborted();
    const loaded = await next;
    next = loadBatch(start + BATCH);
    const images = loaded.filter((image): image is RgbImage => !(image instanceof MediaError));
    const embeddings = images.length > 0 ? await embedder.embedImages(images, { signal }) : [];
    let made = 0;
    for (const [i, image] of loaded.entries()) {
      const path = paths[start + i]!;
      if (image instanceof MediaError) yield { path, error: image.message };
      else yield { path, embedding: embeddings[made++]! };
    }
  }
}

/** Ends a command some of whose pictures could not be read: the others' results are out by then. */
export function throwIfBroken(failed: readonly { readonly error: string }[], total: number): void {
  if (failed.length === 0) return;
  const reasons = failed.map(({ error }) => `  ${error}`).join("\n");
  throw new MediaError(`${failed.length} of ${counted(total, "picture")} could not be read:\n${reasons}`);
}
