import {
  DECODE_LIMITS,
  type DecodeOptions,
  finishRgb,
  type OpenedPicture,
  openPicture,
} from "./decode.node.ts";
import { applyFrame, checkFrame, type FramePlan, planFrame } from "./framing.ts";
import type { Framing, RgbImage } from "./image.ts";

export interface LoadOptions extends Omit<DecodeOptions, "vectorSide"> {
  /** Side of the model's square input, in pixels. */
  readonly size: number;
  readonly framing: Framing;
  /**
   * "exact": Pillow's arithmetic, bit for bit, on this thread. "auto" (default): exact up to a megapixel and for
   * enlarging; larger pictures are shrunk by the native library on a pool thread, which is four times faster and
   * differs from Pillow by 0.3 grey levels in the mean and 4 at most (a 1000×747 photograph to 224; 0.7 and 8 where
   * pictures are shrunk more than tenfold). preprocess.node.test.ts pins both.
   */
  readonly resample?: "auto" | "exact";
}

/** Up to so many pixels the exact resize takes at most 20 ms, and may run on the calling thread. */
export const EXACT_PIXELS = 2 ** 20;

/** Drawings are rasterised this much larger than needed, so that the shrinking smooths their edges. */
export const VECTOR_OVERSAMPLING = 2;

/**
 * Decodes a picture (see decodeImage for formats, limits and errors) and frames it to size × size by the published
 * protocol of the task: "squash" for retrieval and captions, "crop" for classification.
 */
export async function loadForModel(source: string | Uint8Array, options: LoadOptions): Promise<RgbImage> {
  const { size, framing, resample = "auto", ...limits } = options;
  const picture = await openPicture(source, { ...limits, vectorSide: size * VECTOR_OVERSAMPLING });
  const plan = planFrame(picture.width, picture.height, size, framing);
  checkFrame(picture.name, plan, limits.maxPixels ?? DECODE_LIMITS.maxPixels);
  return render(picture, plan, resample);
}

/**
 * Decodes a picture for random cropping: where its shorter side is longer than `side`, it is shrunk to that, its
 * proportions kept. Never enlarged; drawings get the side exactly.
 */
export async function loadShorterSide(
  source: string | Uint8Array,
  side: number,
  limits: DecodeOptions = {},
): Promise<RgbImage> {
  const picture = await openPicture(source, { ...limits, vectorSide: side });
  if (Math.min(picture.width, picture.height) <= side) return finishRgb(picture, picture.pipeline);
  const { width, height } = planFrame(picture.width, picture.height, side, "crop");
  return render(picture, { width, height, cut: { x: 0, y: 0, width, height } }, "auto");
}

async function render(picture: OpenedPicture, plan: FramePlan, how: "auto" | "exact"): Promise<RgbImage> {
  // Enlarging by the native library is not centred on the pixels (3 grey levels in the mean); CMYK has to be
  // converted before it is resampled.
  const native =
    how === "auto" &&
    !picture.cmyk &&
    picture.width * picture.height > EXACT_PIXELS &&
    plan.width <= picture.width &&
    plan.height <= picture.height;
  if (!native) return applyFrame(await finishRgb(picture, picture.pipeline), plan);
  const { x, y, width, height } = plan.cut;
  return finishRgb(
    picture,
    picture.pipeline
      // Without a working colour space JPEG and WebP would be decoded at a fraction of their size, whatever
      // fastShrinkOnLoad says: 36 grey levels off Pillow where a photograph becomes 64 pixels wide.
      .pipelineColourspace("srgb")
      .resize(plan.width, plan.height, { fit: "fill", kernel: "cubic", fastShrinkOnLoad: false })
      .extract({ left: x, top: y, width, height }),
  );
}
