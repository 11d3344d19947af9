import type { IndexedImage } from "./types.ts";
import { UPDATE_LIMITS } from "./update.ts";

/** No buffer holds more: limits are not raised above it, whatever an index says. */
const MOST = 2 ** 31 - 1;

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
    maxPixels: Math.min(MOST, Math.max(maxPixels, width * height)),
    maxBytes: Math.min(MOST, Math.max(maxBytes, sizeBytes)),
  };
}
