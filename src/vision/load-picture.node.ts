import { type DecodeOptions, decodeImage } from "./decode.node.ts";
import type { RgbImage } from "./image.ts";
import { VECTOR_OVERSAMPLING } from "./preprocess.node.ts";
import { TILING } from "./tiling.ts";

/**
 * Decodes a picture for a chat model, which cuts it into tiles itself. As {@link decodeImage}, but alpha is dropped, as
 * the published chat programs do, and a drawing's shorter side is twice a tile.
 */
export const loadPicture = (source: string | Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> =>
  decodeImage(source, {
    alpha: "drop",
    vectorSide: TILING.force_image_size * VECTOR_OVERSAMPLING,
    ...options,
  });
