import { DECODE_LIMITS, type DecodeOptions, finishRgb, openPicture } from "./decode.node.ts";
import { checkFrame, frameImage, planFrame } from "./framing.ts";
import type { Framing, RgbImage } from "./image.ts";

export interface LoadOptions extends Omit<DecodeOptions, "vectorSide"> {
  /** Side of the model's square input, in pixels. */
  readonly size: number;
  readonly framing: Framing;
  /**
   * "exact": Pillow's arithmetic, bit for bit, on this thread. "auto" (default): exact for small pictures and for
   * enlarging; large pictures are shrunk by the native library on a pool thread, which is ten times faster and
   * differs from Pillow by 0.3 grey levels in the mean and 4 at most (see test/check-preprocessing.ts).
   */
  readonly resample?: "auto" | "exact";
}

/** Up to so many pixels the exact resize takes a few milliseconds, and may run on the calling thread. */
const SMALL_PIXELS = 512 * 512;

/** Drawings are rasterised this much larger than needed, so that the shrinking smooths their edges. */
const VECTOR_OVERSAMPLING = 2;

/**
 * Decodes a picture (see decodeImage for formats, limits and errors) and frames it to size × size by the published
 * protocol of the task: "squash" for retrieval and captions, "crop" for classification.
 */
export async function loadForModel(source: string | Uint8Array, options: LoadOptions): Promise<RgbImage> {
  const { size, framing, resample = "auto", ...limits } = options;
  const picture = await openPicture(source, { ...limits, vectorSide: size * VECTOR_OVERSAMPLING });
  const plan = planFrame(picture.width, picture.height, size, framing);
  checkFrame(picture.name, plan, limits.maxPixels ?? DECODE_LIMITS.maxPixels);
  // Enlarging by the native library is not centred on the pixels (3 grey levels in the mean); CMYK has to be
  // converted before it is resampled.
  const native =
    resample === "auto" &&
    !picture.cmyk &&
    picture.width * picture.height > SMALL_PIXELS &&
    plan.width <= picture.width &&
    plan.height <= picture.height;
  if (!native) return frameImage(await finishRgb(picture, picture.pipeline), size, framing);
  return finishRgb(
    picture,
    picture.pipeline
      .resize(plan.width, plan.height, { fit: "fill", kernel: "cubic", fastShrinkOnLoad: false })
      .extract({ left: plan.cut.x, top: plan.cut.y, width: size, height: size }),
  );
}
