import { MediaError } from "../core/errors.ts";
import type { Framing, RgbImage } from "./image.ts";
import { type Box, crop, resize } from "./resize.ts";

/** How a picture is made square: resized to width × height, then cut to `cut`. */
export interface FramePlan {
  readonly width: number;
  readonly height: number;
  readonly cut: Box;
}

/** The nearest integer, halves to the even one, as Python's `round`. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * The sizes by which a width × height picture becomes size × size. "crop" follows torchvision's Resize and
 * CenterCrop: the shorter side becomes `size`, the longer is cut down to a whole number, the offsets of the cut are
 * rounded half to even.
 */
export function planFrame(width: number, height: number, size: number, framing: Framing): FramePlan {
  if (framing === "squash")
    return { width: size, height: size, cut: { x: 0, y: 0, width: size, height: size } };
  const short = Math.min(width, height);
  const longer = Math.trunc((size * Math.max(width, height)) / short);
  const [w, h] = width <= height ? [size, longer] : [longer, size];
  return {
    width: w,
    height: h,
    cut: { x: roundHalfEven((w - size) / 2), y: roundHalfEven((h - size) / 2), width: size, height: size },
  };
}

/** Frames a decoded picture, with Pillow's bicubic arithmetic. Pure: for browsers, and the exact path of Node. */
export const frameImage = (image: RgbImage, size: number, framing: Framing): RgbImage =>
  applyFrame(image, planFrame(image.width, image.height, size, framing));

/** Resizes and cuts as `plan` says. */
export function applyFrame(image: RgbImage, plan: FramePlan): RgbImage {
  const resized = resize(image, plan.width, plan.height);
  const whole = plan.width === plan.cut.width && plan.height === plan.cut.height;
  return whole ? resized : crop(resized, plan.cut);
}

/** Throws a MediaError where cropping a very long picture would first enlarge it beyond `maxPixels`. */
export function checkFrame(name: string, plan: FramePlan, maxPixels: number): void {
  if (plan.width * plan.height > maxPixels)
    throw new MediaError(
      `${name}: expected a picture that has at most ${maxPixels} pixels once its shorter side fits the model, found ${plan.width}×${plan.height}; cut the picture or use the framing "squash"`,
    );
}
