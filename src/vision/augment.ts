import type { Rng } from "../core/rng.ts";
import { roundHalfEven } from "./framing.ts";
import type { RgbImage } from "./image.ts";
import { type Box, type ResizeFilter, resize } from "./resize.ts";

/** Random changes of a picture's colours; each is drawn by itself. */
export interface ColourJitter {
  /** Brightness is multiplied by a factor within 1 ± this. Default 0. */
  readonly brightness?: number;
  /** As brightness: the distance from the picture's mean grey. Default 0. */
  readonly contrast?: number;
  /** As brightness: the distance of each pixel from its own grey. Default 0. */
  readonly saturation?: number;
  /** Probability that all colour is taken away. Default 0. */
  readonly grayscale?: number;
}

/** Random cropping, flipping and colouring of training pictures. */
export interface Augmentation {
  /** Least and greatest part of the picture's area that a crop covers. */
  readonly scale: readonly [number, number];
  /** Least and greatest width / height of a crop, before it is squashed to a square. Default 3/4 to 4/3. */
  readonly ratio?: readonly [number, number];
  /** Probability of a horizontal flip. Not for text and flags; default 0. */
  readonly flip?: number;
  /** Default: colours stay as they are. */
  readonly color?: ColourJitter | undefined;
  /** Default "bicubic". */
  readonly filter?: ResizeFilter;
}

const DEFAULT_RATIO = [3 / 4, 4 / 3] as const;
const TRIES = 10;

/**
 * Where a random resized crop cuts a width × height picture: an area uniform in `scale`, a ratio log-uniform in
 * `ratio`, up to ten tries, then the largest centred part whose ratio is allowed. The distribution is that of
 * torchvision's RandomResizedCrop; the numbers are not, since the generator is ours.
 */
export function randomCropBox(
  width: number,
  height: number,
  { scale, ratio = DEFAULT_RATIO }: Pick<Augmentation, "scale" | "ratio">,
  rng: Rng,
): Box {
  const between = ([low, high]: readonly [number, number]) => low + (high - low) * rng.uniform();
  const logRatio = [Math.log(ratio[0]), Math.log(ratio[1])] as const;
  for (let i = 0; i < TRIES; i++) {
    const area = width * height * between(scale);
    const aspect = Math.exp(between(logRatio));
    const w = roundHalfEven(Math.sqrt(area * aspect));
    const h = roundHalfEven(Math.sqrt(area / aspect));
    if (w > 0 && h > 0 && w <= width && h <= height) {
      const y = rng.int(height - h + 1);
      return { x: rng.int(width - w + 1), y, width: w, height: h };
    }
  }
  return centredBox(width, height, ratio);
}

function centredBox(width: number, height: number, [low, high]: readonly [number, number]): Box {
  const aspect = width / height;
  const w = aspect > high ? Math.max(1, roundHalfEven(height * high)) : width;
  const h = aspect < low ? Math.max(1, roundHalfEven(width / low)) : height;
  return { x: Math.floor((width - w) / 2), y: Math.floor((height - h) / 2), width: w, height: h };
}

/** Mirrors left and right, in place. */
export function flipInPlace({ width, height, data }: RgbImage): void {
  for (let y = 0; y < height; y++)
    for (let left = y * width * 3, right = left + (width - 1) * 3; left < right; left += 3, right -= 3)
      for (let c = 0; c < 3; c++) {
        const kept = data[left + c]!;
        data[left + c] = data[right + c]!;
        data[right + c] = kept;
      }
}

/** Luma of ITU-R BT.601, as Pillow's mode "L" has it. */
const luma = (data: Uint8Array, at: number): number =>
  (299 * data[at]! + 587 * data[at + 1]! + 114 * data[at + 2]!) / 1000;

/**
 * Changes brightness, then contrast, then saturation, in place. Factors and formulas are those of torchvision's
 * ColorJitter; its order is random and each of its steps is rounded and cut off, here the result is.
 */
export function jitterInPlace({ data }: RgbImage, how: ColourJitter, rng: Rng): void {
  const factor = (width = 0) => 1 + width * (2 * rng.uniform() - 1);
  const [brightness, contrast, drawn] = [
    factor(how.brightness),
    factor(how.contrast),
    factor(how.saturation),
  ];
  const saturation = rng.uniform() < (how.grayscale ?? 0) ? 0 : drawn;
  let sum = 0;
  for (let at = 0; at < data.length; at += 3) sum += luma(data, at);
  const mean = (brightness * sum) / (data.length / 3);
  for (let at = 0; at < data.length; at += 3) {
    const grey = luma(data, at);
    for (let c = at; c < at + 3; c++) {
      const coloured = brightness * (grey + saturation * (data[c]! - grey));
      data[c] = Math.max(0, Math.min(255, Math.round(mean + contrast * (coloured - mean))));
    }
  }
}

/** A random size × size training view of a picture. Draws the same count of numbers whether it flips or not. */
export function augment(image: RgbImage, size: number, how: Augmentation, rng: Rng): RgbImage {
  const box = randomCropBox(image.width, image.height, how, rng);
  const flip = rng.uniform() < (how.flip ?? 0);
  // A crop that already has the size is cut out, never shared: the flip writes into it.
  const view = resize(image, size, size, { box, filter: how.filter ?? "bicubic" });
  if (flip) flipInPlace(view);
  if (how.color) jitterInPlace(view, how.color, rng);
  return view;
}
