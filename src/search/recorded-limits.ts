import type { IndexedImage } from "./types.ts";
import { LARGEST_LIMIT, UPDATE_LIMITS } from "./update.ts";

/**
 * What may be read and decoded of a picture that is in the index: what is always allowed, and what it had when it was
 * indexed, perhaps with higher limits.
 */
export function recordedLimits({
  width,
  height,
  sizeBytes,
}: Pick<IndexedImage, "width" | "height" | "sizeBytes">): {
  readonly maxPixels: number;
  readonly maxBytes: number;
} {
  const { maxPixels, maxBytes } = UPDATE_LIMITS;
  return {
    maxPixels: Math.min(LARGEST_LIMIT, Math.max(maxPixels, width * height)),
    maxBytes: Math.min(LARGEST_LIMIT, Math.max(maxBytes, sizeBytes)),
  };
}
