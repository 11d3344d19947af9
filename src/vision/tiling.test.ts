import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError, MediaError } from "../core/errors.ts";
import { IMAGENET_MEAN } from "../core/imagenet.ts";
import type { RgbImage } from "./image.ts";
import { resize } from "./resize.ts";
import {
  checkTiling,
  chooseGrid,
  countTiles,
  meanColour,
  padToSquare,
  planTiles,
  TILING,
  type Tiling,
  tilePicture,
} from "./tiling.ts";

const { cases } = JSON.parse(
  readFileSync(new URL("../../test/parity/golden/tiling.json", import.meta.url), "utf8"),
) as { cases: [width: number, height: number, most: number, columns: number, rows: number][] };

/** Every sample tells where it is. */
function picture(width: number, height: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    return (x * 31 + y * 17 + (i % 3) * 85 + ((x * y) % 13) * 9) % 256;
  });
  return { width, height, data };
}

describe("chooseGrid", () => {
  test("all 400 choices of the published preprocessing", () => {
    expect(cases).toHaveLength(400);
    for (const [width, height, most, columns, rows] of cases)
      expect([width, height, most, chooseGrid(width, height, { size: 448, least: 1, most })]).toEqual([
        width,
        height,
        most,
        { columns, rows },
      ]);
  });

  // A square of side w is nearest to 1×1, 2×2 and 3×3 alike; n² tiles need w² > n² 448² / 2, so w > 316.8 n.
  test.each([
    [316, 1],
    [633, 1],
    [634, 2],
    [950, 2],
    [951, 3],
    [4000, 3],
  ])("a square of %d pixels has %d² tiles", (side, n) => {
    expect(chooseGrid(side, side, { size: 448, least: 1, most: 12 })).toEqual({ columns: n, rows: n });
  });

  test("is columns and rows, whichever way the picture lies", () => {
    const grid = { size: 448, least: 1, most: 12 };
    expect(chooseGrid(6000, 500, grid)).toEqual({ columns: 12, rows: 1 });
    expect(chooseGrid(500, 6000, grid)).toEqual({ columns: 1, rows: 12 });
    expect(chooseGrid(1, 60_000, grid)).toEqual({ columns: 1, rows: 12 });
  });

  test("equally near from both sides: the one with more tiles for a large picture only", () => {
    // 3:2 is as far from 1:1 as from 2:1.
    const two = { size: 100, least: 1, most: 2 };
    expect(chooseGrid(120, 80, two)).toEqual({ columns: 1, rows: 1 });
    expect(chooseGrid(126, 84, two)).toEqual({ columns: 2, rows: 1 });
  });

  test("equally near means equal doubles", () => {
    const grid = { size: 448, least: 1, most: 6 };
    // |1.25 - 1| = |1.25 - 1.5| in doubles too: 1×1, 2×2 and 3×2 are equally near.
    expect(chooseGrid(1250, 1000, grid)).toEqual({ columns: 3, rows: 2 });
    expect(chooseGrid(125, 100, grid)).toEqual({ columns: 1, rows: 1 });
    // 5:6 is as far from 1:1 as from 2:3, but not in doubles: the large picture does not get the larger grid.
    expect(chooseGrid(720, 864, grid)).toEqual({ columns: 2, rows: 2 });
    // 7:6 is as far from 1:1 as from 4:3, but not in doubles: the small picture does not get the smaller grid.
    expect(chooseGrid(84, 72, { ...grid, most: 12 })).toEqual({ columns: 4, rows: 3 });
  });

  test("no grid has so few and so many tiles: one tile", () => {
    expect(chooseGrid(2000, 1000, { size: 448, least: 6, most: 3 })).toEqual({ columns: 1, rows: 1 });
  });

  test("at least as many tiles as asked for", () => {
    expect(chooseGrid(100, 100, { size: 448, least: 4, most: 12 })).toEqual({ columns: 2, rows: 2 });
  });
});

describe("planTiles", () => {
  test("a thumbnail only beside several tiles", () => {
    expect(planTiles(1000, 747, TILING)).toEqual({
      columns: 4,
      rows: 3,
      size: 448,
      thumbnail: true,
      pad: false,
    });
    expect(planTiles(300, 300, TILING).thumbnail).toBe(false);
    expect(planTiles(1000, 747, { ...TILING, use_thumbnail: false }).thumbnail).toBe(false);
    expect(countTiles(planTiles(1000, 747, TILING))).toBe(13);
    expect(countTiles(planTiles(300, 300, TILING))).toBe(1);
  });

  test("one tile where sizes are not dynamic, padded only then", () => {
    const fixed = { ...TILING, dynamic_image_size: false };
    expect(planTiles(1000, 747, fixed)).toEqual({
      columns: 1,
      rows: 1,
      size: 448,
      thumbnail: false,
      pad: false,
    });
    expect(planTiles(1000, 747, { ...fixed, pad2square: true }).pad).toBe(true);
    expect(planTiles(1000, 747, { ...TILING, pad2square: true }).pad).toBe(false);
  });

  test.each<[string, Partial<Tiling>]>([
    ["force_image_size 0", { force_image_size: 0 }],
    ["force_image_size 1.5", { force_image_size: 1.5 }],
    ["min_dynamic_patch 0", { min_dynamic_patch: 0 }],
    ["max_dynamic_patch NaN", { max_dynamic_patch: Number.NaN }],
    ["min_dynamic_patch 13 is above", { min_dynamic_patch: 13 }],
    ["more than 64000000 pixels", { max_dynamic_patch: 1e9 }],
    ["more than 64000000 pixels", { force_image_size: 4096 }],
  ])("refuses %s", (message, change) => {
    expect(() => checkTiling({ ...TILING, ...change })).toThrow(ConfigError);
    expect(() => planTiles(10, 10, { ...TILING, ...change })).toThrow(message);
  });

  test("all problems are told at once, and an empty picture is refused", () => {
    const odd = { ...TILING, force_image_size: -1, min_dynamic_patch: 0.5 };
    expect(() => checkTiling(odd)).toThrow(/force_image_size -1 .*; min_dynamic_patch 0.5/);
    expect(() => planTiles(0, 5, TILING)).toThrow(MediaError);
  });
});

describe("tilePicture", () => {
  const small = { ...TILING, force_image_size: 16 };

  test("the tiles, row by row, are the resized picture; the thumbnail is the picture once more", () => {
    const side = fc.integer({ min: 1, max: 90 });
    fc.assert(
      fc.property(
        side,
        side,
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        (width, height, most, use_thumbnail) => {
          const tiling = { ...small, max_dynamic_patch: most, use_thumbnail };
          const image = picture(width, height);
          const { columns, rows } = chooseGrid(width, height, { size: 16, least: 1, most });
          const tiles = tilePicture(image, tiling);
          const several = use_thumbnail && columns * rows > 1;
          expect(tiles).toHaveLength(columns * rows + (several ? 1 : 0));
          const canvas = new Uint8Array(columns * rows * 16 * 16 * 3);
          for (let y = 0; y < rows * 16; y++)
            for (let x = 0; x < columns * 16; x++) {
              const tile = tiles[Math.floor(y / 16) * columns + Math.floor(x / 16)]!;
              const at = ((y % 16) * 16 + (x % 16)) * 3;
              canvas.set(tile.data.subarray(at, at + 3), (y * columns * 16 + x) * 3);
            }
          expect(Buffer.compare(canvas, resize(image, columns * 16, rows * 16).data)).toBe(0);
          if (several) expect(Buffer.compare(tiles.at(-1)!.data, resize(image, 16, 16).data)).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("one tile loses the proportions, or keeps them on a square of the mean colour", () => {
    const image = picture(30, 11);
    const fixed = { ...small, dynamic_image_size: false };
    expect(tilePicture(image, fixed)).toEqual([resize(image, 16, 16)]);
    const mean = [123, 116, 103];
    expect(tilePicture(image, { ...fixed, pad2square: true })).toEqual([
      resize(padToSquare(image, mean), 16, 16),
    ]);
    const black = tilePicture(image, { ...fixed, pad2square: true }, [0, 0, 0]);
    expect(Array.from(black[0]!.data.subarray(0, 3))).toEqual([0, 0, 0]);
  });
});

describe("padToSquare", () => {
  const colour = [1, 2, 3];
  const pixel = ({ width, data }: RgbImage, x: number, y: number) =>
    Array.from(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3));

  // Offsets by the published code: the difference halved, cut down.
  test.each([
    [7, 4, 0, 1],
    [4, 7, 1, 0],
    [6, 2, 0, 2],
    [1, 2, 0, 0],
  ])("%d×%d begins at (%d, %d)", (width, height, left, top) => {
    const image = picture(width, height);
    const square = padToSquare(image, colour);
    const side = Math.max(width, height);
    expect([square.width, square.height, square.data.length]).toEqual([side, side, side * side * 3]);
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const inside = x >= left && x < left + width && y >= top && y < top + height;
        expect(pixel(square, x, y)).toEqual(inside ? pixel(image, x - left, y - top) : colour);
      }
  });

  test("a square stays; a line that would become a sheet is refused", () => {
    expect(padToSquare(picture(5, 5), colour)).toEqual(picture(5, 5));
    expect(() => padToSquare(picture(8001, 1), colour)).toThrow(MediaError);
  });

  test("the mean colour is cut down to whole numbers", () => {
    expect(meanColour(IMAGENET_MEAN)).toEqual([123, 116, 103]); // 123.675, 116.28, 103.53
    expect(meanColour([0.5, 0.5, 0.5])).toEqual([127, 127, 127]);
  });
});
