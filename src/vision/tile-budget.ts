import { UsageError } from "../core/errors.ts";
import type { Tiling } from "./tiling.ts";

/** How several pictures share the largest number of tiles. Each rule is that of a published program. */
export type TileBudget =
  /** Every picture may have all: the quick start of the README. */
  | "each"
  /** Divided among all pictures: fine-tuning, and the multi-image benchmarks. */
  | "shared"
  /** So many that 64 tiles are enough for all pages of a document: MP-DocVQA. */
  | "pages"
  /** Divided among the pictures of the last turn that has any; those before get one each: the demo. */
  | "last-turn";

/** Tiles of all pages together (MP-DocVQA). */
const PAGE_TILES = 64;

/**
 * The largest number of tiles of every picture of a conversation, in order; at least 1. `imagesPerTurn`: how many
 * pictures each turn has. Throws a UsageError for numbers that are not whole.
 */
export function tileBudgets(
  budget: TileBudget,
  max: number,
  imagesPerTurn: readonly number[],
): readonly number[] {
  if (![max, ...imagesPerTurn].every((n) => Number.isSafeInteger(n) && n >= 0) || max < 1)
    throw new UsageError(
      `tileBudgets: expected whole numbers, and a largest number of tiles of at least 1, found ${max} for turns of ${imagesPerTurn.join(", ")} pictures; correct them`,
    );
  const images = imagesPerTurn.reduce((sum, n) => sum + n, 0);
  const all = (tiles: number) => new Array<number>(images).fill(Math.max(1, Math.floor(tiles)));
  switch (budget) {
    case "each":
      return all(max);
    case "shared":
      return all(max / images);
    case "pages":
      return all(Math.min(max, PAGE_TILES / images));
    case "last-turn": {
      const last = imagesPerTurn.findLast((n) => n > 0) ?? 0;
      return all(max / last).fill(1, 0, images - last);
    }
  }
}

/** The tiling of a picture that may have at most `max` tiles. Frames of videos have `max` 1. */
export const limitTiles = (tiling: Tiling, max: number): Tiling => {
  const most = Math.min(max, tiling.max_dynamic_patch);
  // Where the least is above the budget, the published programs find no grid and take one tile.
  return tiling.min_dynamic_patch <= most
    ? { ...tiling, max_dynamic_patch: most }
    : { ...tiling, min_dynamic_patch: 1, max_dynamic_patch: 1 };
};
