import { ConfigError, MediaError } from "../core/errors.ts";
import { IMAGENET_MEAN } from "../core/imagenet.ts";
import type { RgbImage } from "./image.ts";
import { crop, resize } from "./resize.ts";

/** How a chat model cuts a picture, in the fields of its published configuration. A tile is a square of S × S pixels. */
export interface Tiling {
  /** S, the side of a tile and of the model's input, in pixels. */
  readonly force_image_size: number;
  /** Whether pictures are cut into tiles by their proportions; else each is one tile. */
  readonly dynamic_image_size: boolean;
  /** Whether a picture of several tiles is followed by all of it as one more. */
  readonly use_thumbnail: boolean;
  /** Least and largest number of tiles of a picture, the thumbnail not counted. */
  readonly min_dynamic_patch: number;
  readonly max_dynamic_patch: number;
  /** Whether a picture that is one tile keeps its proportions on a square. Without effect on dynamic sizes. */
  readonly pad2square: boolean;
}

/** What the published chat models have where nothing else is said. */
export const TILING: Tiling = {
  force_image_size: 448,
  dynamic_image_size: true,
  use_thumbnail: true,
  min_dynamic_patch: 1,
  max_dynamic_patch: 12,
  pad2square: false,
};

/** Largest number of pixels of all tiles of a picture, and of a padded picture: a configuration is not to be trusted. */
const MAX_PIXELS = 64e6;

/** The colour with which pictures are padded for `mean` (0-1): 255 mean, cut down to whole numbers. */
export const meanColour = (mean: readonly number[]): readonly number[] =>
  mean.map((m) => Math.trunc(m * 255));

/** Columns and rows of tiles. */
export interface TileGrid {
  readonly columns: number;
  readonly rows: number;
}

/** How one picture becomes tiles. */
export interface TilePlan extends TileGrid {
  /** Side of a tile in pixels. */
  readonly size: number;
  /** Whether the whole picture follows as one more tile. */
  readonly thumbnail: boolean;
  /** Whether the picture is first made square. */
  readonly pad: boolean;
}

/** Throws a ConfigError that lists all fields that cannot be. */
export function checkTiling(tiling: Tiling): void {
  const { force_image_size: size, min_dynamic_patch: least, max_dynamic_patch: most } = tiling;
  const whole = (n: number) => Number.isSafeInteger(n) && n >= 1;
  const problems = [
    ...(whole(size) ? [] : [`force_image_size ${size} is not a whole positive number`]),
    ...(whole(least) ? [] : [`min_dynamic_patch ${least} is not a whole positive number`]),
    ...(whole(most) ? [] : [`max_dynamic_patch ${most} is not a whole positive number`]),
    ...(least > most ? [`min_dynamic_patch ${least} is above max_dynamic_patch ${most}`] : []),
    ...(most * size * size > MAX_PIXELS
      ? [`${most} tiles of ${size}×${size} are more than ${MAX_PIXELS} pixels`]
      : []),
  ];
  if (problems.length > 0)
    throw new ConfigError(
      `tiling: expected sizes and numbers of tiles that fit together, found: ${problems.join("; ")}; correct the model's config.json or the options`,
    );
}

/**
 * The grid of `least` to `most` tiles of `size` pixels whose proportions are nearest to those of a width × height
 * picture, as the published preprocessing chooses it (internvl_chat/internvl/train/dataset.py): grids in ascending
 * order of tiles; the difference |width / height - columns / rows| in double precision; of equally near grids a later
 * one is taken where the picture has more than half its pixels. Where no grid has so few and so many tiles: one tile.
 */
export function chooseGrid(
  width: number,
  height: number,
  { size, least, most }: { readonly size: number; readonly least: number; readonly most: number },
): TileGrid {
  let best: TileGrid = { columns: 1, rows: 1 };
  let bestApart = Number.POSITIVE_INFINITY;
  for (let tiles = least; tiles <= most; tiles++)
    for (let columns = 1; columns <= tiles; columns++) {
      if (tiles % columns !== 0) continue;
      const rows = tiles / columns;
      const apart = Math.abs(width / height - columns / rows);
      const large = width * height > 0.5 * size * size * tiles;
      if (apart < bestApart || (apart === bestApart && large)) {
        best = { columns, rows };
        bestApart = apart;
      }
    }
  return best;
}

/** How a width × height picture is cut. Throws a ConfigError for an impossible tiling, a MediaError for a size of 0. */
export function planTiles(width: number, height: number, tiling: Tiling): TilePlan {
  checkTiling(tiling);
  if (!(width >= 1 && height >= 1))
    throw new MediaError(
      `planTiles: expected a picture of at least one pixel, found ${width}×${height}; give a decoded picture`,
    );
  const size = tiling.force_image_size;
  if (!tiling.dynamic_image_size)
    return { columns: 1, rows: 1, size, thumbnail: false, pad: tiling.pad2square };
  const { min_dynamic_patch: least, max_dynamic_patch: most } = tiling;
  const grid = chooseGrid(width, height, { size, least, most });
  const thumbnail = tiling.use_thumbnail && grid.columns * grid.rows > 1;
  return { ...grid, size, thumbnail, pad: false };
}

/** Number of tiles that a plan gives, the thumbnail counted. */
export const countTiles = ({ columns, rows, thumbnail }: TilePlan): number =>
  columns * rows + (thumbnail ? 1 : 0);

/**
 * A picture as S × S tiles, row by row, and last the whole picture once more where the tiling wants that. The picture
 * is resized to the grid as a whole, whatever its proportions, with Pillow's bicubic arithmetic. `padColour`: of
 * `pad2square`. Pure: for browsers and threads of their own; in Node, `tileImage` leaves the thread free.
 */
export function tilePicture(
  image: RgbImage,
  tiling: Tiling,
  padColour: readonly number[] = meanColour(IMAGENET_MEAN),
): RgbImage[] {
  const plan = planTiles(image.width, image.height, tiling);
  const { columns, rows, size } = plan;
  const whole = plan.pad ? padToSquare(image, padColour) : image;
  const tiles = cutTiles(resize(whole, columns * size, rows * size), size);
  return plan.thumbnail ? [...tiles, resize(whole, size, size)] : tiles;
}

/** A picture whose sides are multiples of `size` as squares of that size, row by row. */
export function cutTiles(canvas: RgbImage, size: number): RgbImage[] {
  const columns = canvas.width / size;
  const tiles = columns * (canvas.height / size);
  return Array.from({ length: tiles }, (_, i) =>
    crop(canvas, {
      x: (i % columns) * size,
      y: Math.floor(i / columns) * size,
      width: size,
      height: size,
    }),
  );
}

/** The picture in the middle of a square of `colour` (0-255) with its longer side; the odd pixel goes to the end. */
export function padToSquare(image: RgbImage, colour: readonly number[]): RgbImage {
  const { width, height } = image;
  if (width === height) return image;
  const side = Math.max(width, height);
  if (side * side > MAX_PIXELS)
    throw new MediaError(
      `padToSquare: expected a picture of at most ${Math.floor(Math.sqrt(MAX_PIXELS))} pixels a side, found ${width}×${height}; shrink it, or turn pad2square off`,
    );
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < side * 3; i++) data[i] = colour[i % 3]!;
  for (let filled = side * 3; filled < data.length; filled *= 2)
    data.copyWithin(filled, 0, Math.min(filled, data.length - filled));
  const left = Math.floor((side - width) / 2);
  const top = Math.floor((side - height) / 2);
  for (let y = 0; y < height; y++)
    data.set(image.data.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * side + left) * 3);
  return { width: side, height: side, data };
}
