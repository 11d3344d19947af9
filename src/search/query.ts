import { UsageError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import { type LoadPicture, readNamedFile } from "./picture.ts";
import type { SearchQuery } from "./types.ts";
import { checkVector, UPDATE_LIMITS } from "./update.ts";

const MAX_TEXT = 10_000;

/**
 * The embedding that a query stands for. Throws a UsageError for a query that cannot be, a MediaError for an unusable
 * picture.
 */
export async function embedQuery(
  { text, image, vector, signal }: SearchQuery & { readonly signal?: AbortSignal },
  embedder: Embedder,
  load: LoadPicture,
): Promise<Float32Array> {
  const given = [text, image, vector].filter((q) => q !== undefined).length;
  if (given !== 1)
    throw new UsageError(`search: expected one of text, image and vector, found ${given} of them`);
  const options = signal ? { signal } : {};
  if (text !== undefined) {
    if (text.trim() === "" || text.length > MAX_TEXT)
      throw new UsageError(
        `search: expected a text of 1 to ${MAX_TEXT} characters, found ${text.trim().length}`,
      );
    return checkVector(embedder, (await embedder.embedTexts([text], options))[0]!);
  }
  if (vector !== undefined) {
    if (
      vector.length !== embedder.dimension ||
      !vector.every(Number.isFinite) ||
      !vector.some((v) => v !== 0)
    )
      throw new UsageError(
        `search: expected a vector of ${embedder.dimension} finite numbers, not all zero, found ${vector.length} others`,
      );
    return vector;
  }
  const { maxBytes, maxPixels } = UPDATE_LIMITS;
  const bytes = typeof image === "string" ? await readNamedFile(image, maxBytes) : image!;
  const loaded = await load(bytes, { size: embedder.imageSize, maxBytes, maxPixels });
  return checkVector(embedder, (await embedder.embedImages([loaded.image], options))[0]!);
}

/** Throws a UsageError unless `value` is a whole number from `min` to `max`. */
export function checkWhole(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new UsageError(`${name}: expected a whole number from ${min} to ${max}, found ${value}`);
}
