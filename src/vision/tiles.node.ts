import { setImmediate } from "node:timers/promises";
import sharp from "sharp";
import { IMAGENET_MEAN } from "../core/imagenet.ts";
import { type DecodeOptions, finishRgb, openPicture } from "./decode.node.ts";
import type { RgbImage } from "./image.ts";
import { EXACT_PIXELS, VECTOR_OVERSAMPLING } from "./preprocess.node.ts";
import { resizeSteps } from "./resize.ts";
import { cutTiles, meanColour, padToSquare, planTiles, type Tiling } from "./tiling.ts";

export interface TileOptions {
  /**
   * "exact": Pillow's arithmetic, bit for bit. "auto" (default): exact up to a megapixel and for enlarging; larger
   * pictures are shrunk by the native library, which is several times faster and differs from Pillow by 0.1 to 0.3 grey
   * levels in the mean. tiles.node.test.ts pins both. Either way the calling thread is held for some milliseconds at
   * a time only.
   */
  readonly resample?: "auto" | "exact";
  /** The colour of `pad2square`, R, G and B of 0-255. Default: {@link meanColour} of ImageNet. */
  readonly padColour?: readonly number[];
}

export interface LoadTilesOptions extends TileOptions, Omit<DecodeOptions, "vectorSide"> {}

/** A picture cut for a chat model. */
export interface TiledPicture {
  /** Size of the whole picture in pixels, to which coordinates in answers refer. */
  readonly width: number;
  readonly height: number;
  /** S × S each, row by row; the thumbnail, if any, is last. */
  readonly tiles: readonly RgbImage[];
}

/**
 * Decodes a picture once (see decodeImage for formats, limits and errors) and cuts it into the tiles of a chat model.
 * Alpha is dropped unless `alpha` says "white": the published chat programs take Pillow's `convert("RGB")`, other than
 * InternVL-C's, and before resizing.
 *
 * DIFFERS from the published programs: EXIF orientation is applied, since people ask about what they see;
 * `orientation: "stored"` is the published behaviour. A drawing (SVG) is a picture whose shorter side is twice a tile.
 */
export async function loadTiles(
  source: string | Uint8Array,
  tiling: Tiling,
  options: LoadTilesOptions = {},
): Promise<TiledPicture> {
  const { resample, padColour, ...decoding } = options;
  const picture = await openPicture(source, {
    ...decoding,
    alpha: decoding.alpha ?? "drop",
    vectorSide: tiling.force_image_size * VECTOR_OVERSAMPLING,
  });
  // Before the work of decoding: a tiling that cannot be is refused here.
  planTiles(picture.width, picture.height, tiling);
  const image = await finishRgb(picture, picture.pipeline);
  const tiles = await tileImage(image, tiling, {
    ...(resample === undefined ? {} : { resample }),
    ...(padColour === undefined ? {} : { padColour }),
  });
  return { width: image.width, height: image.height, tiles };
}

/** The tiles of a decoded picture, as `tilePicture` makes them, without holding the calling thread. */
export async function tileImage(
  image: RgbImage,
  tiling: Tiling,
  { resample = "auto", padColour = meanColour(IMAGENET_MEAN) }: TileOptions = {},
): Promise<RgbImage[]> {
  const plan = planTiles(image.width, image.height, tiling);
  const { columns, rows, size } = plan;
  const whole = plan.pad ? padToSquare(image, padColour) : image;
  const resizing = (width: number, height: number) =>
    resample === "auto" && isNative(whole, width, height)
      ? shrinkNatively(whole, width, height)
      : resizePatiently(whole, width, height);
  const [canvas, ...thumbnail] = await Promise.all([
    resizing(columns * size, rows * size),
    ...(plan.thumbnail ? [resizing(size, size)] : []),
  ]);
  return [...cutTiles(canvas, size), ...thumbnail];
}

/** Enlarging by the native library is not centred on the pixels: 1.5 grey levels in the mean, 56 at most. */
const isNative = (image: RgbImage, width: number, height: number): boolean =>
  image.width * image.height > EXACT_PIXELS && width <= image.width && height <= image.height;

async function shrinkNatively(image: RgbImage, width: number, height: number): Promise<RgbImage> {
  const raw = { width: image.width, height: image.height, channels: 3 } as const;
  // No limit on the pixels: they have been decoded already.
  const shrunk = await sharp(image.data, { raw, limitInputPixels: false })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
  return { width, height, data: new Uint8Array(shrunk.buffer, shrunk.byteOffset, shrunk.length) };
}

/** The exact resize; other work of this thread gets its turn between the steps. */
async function resizePatiently(image: RgbImage, width: number, height: number): Promise<RgbImage> {
  const steps = resizeSteps(image, width, height);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await setImmediate();
  }
}
