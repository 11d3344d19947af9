import type { ImageTable, Neighbour } from "./image-table.ts";

export interface RankOptions {
  /** How many results are wanted, from the best on. */
  readonly count: number;
  readonly where: string | undefined;
  readonly exact: boolean;
}

/** Rows beyond the wanted ones that are looked at first, to see whether the last one has equals. */
const MARGIN = 16;
/** Where more rows than this are equal, their order is no longer settled. */
const MAX_ROWS = 20_000;

/**
 * The nearest pictures, nearest first and equal ones by path, so that the same index always answers the same. The
 * table breaks ties as it likes, hence rows are fetched until the last wanted one differs from the last fetched.
 */
export async function rank(
  table: Pick<ImageTable, "nearest">,
  vector: Float32Array,
  { count, where, exact }: RankOptions,
): Promise<Neighbour[]> {
  for (let limit = count + MARGIN; ; limit *= 4) {
    const rows = await table.nearest(vector, { limit, where, exact });
    const settled = rows.length < limit || rows.at(-1)!.distance > rows[count - 1]!.distance;
    if (settled || limit * 4 > MAX_ROWS)
      return rows.sort((a, b) => a.distance - b.distance || (a.path < b.path ? -1 : 1)).slice(0, count);
  }
}
