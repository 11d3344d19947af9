import { expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { limitTiles, type TileBudget, tileBudgets } from "./tile-budget.ts";
import { chooseGrid, planTiles, TILING } from "./tiling.ts";

test.each<[TileBudget, number, number[], number[]]>([
  ["each", 12, [1, 2], [12, 12, 12]],
  ["shared", 12, [1], [12]],
  ["shared", 12, [5], [2, 2, 2, 2, 2]],
  ["shared", 12, [2, 0, 3], [2, 2, 2, 2, 2]],
  ["shared", 2, [3], [1, 1, 1]],
  ["pages", 24, [2], [24, 24]],
  ["pages", 24, [5], [12, 12, 12, 12, 12]],
  ["pages", 24, [70], new Array<number>(70).fill(1)],
  ["last-turn", 12, [3], [4, 4, 4]],
  ["last-turn", 12, [2, 1, 5], [1, 1, 1, 2, 2, 2, 2, 2]],
  // Turns of words only do not make the pictures before them old.
  ["last-turn", 12, [1, 2, 0, 0], [1, 6, 6]],
  ["last-turn", 4, [0, 6], [1, 1, 1, 1, 1, 1]],
  ["last-turn", 12, [0, 0], []],
  ["shared", 12, [], []],
])("%s: %d tiles for turns of %j pictures", (budget, max, turns, expected) => {
  expect(tileBudgets(budget, max, turns)).toEqual(expected);
});

test.each([
  [0, [1]],
  [1.5, [1]],
  [12, [-1]],
  [12, [Number.NaN]],
])("refuses %d tiles for %j", (max, turns) => {
  expect(() => tileBudgets("shared", max, turns)).toThrow(UsageError);
});

test("a budget never raises what the model has, and frames of videos are one tile", () => {
  expect(limitTiles(TILING, 5).max_dynamic_patch).toBe(5);
  expect(limitTiles(TILING, 50).max_dynamic_patch).toBe(12);
  expect(planTiles(1920, 1080, limitTiles(TILING, 1))).toEqual({
    ...{ columns: 1, rows: 1, size: 448 },
    ...{ thumbnail: false, pad: false },
  });
});

test("a budget below the least number of tiles gives one, as where no grid is found", () => {
  const tiling = { ...TILING, min_dynamic_patch: 4 };
  const { columns, rows } = planTiles(2000, 1000, limitTiles(tiling, 3));
  expect({ columns, rows }).toEqual(chooseGrid(2000, 1000, { size: 448, least: 4, most: 3 }));
  expect(limitTiles(tiling, 4).min_dynamic_patch).toBe(4);
});
