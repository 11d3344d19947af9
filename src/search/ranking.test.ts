import { expect, test } from "vitest";
import type { Neighbour } from "./image-table.ts";
import { rank } from "./ranking.ts";

const row = (path: string, distance: number): Neighbour => ({
  ...{ path, distance, size: 0, mtime: 0, hash: "", width: 1, height: 1 },
});

/** A table that returns equal rows in the worst order. */
function table(rows: readonly Neighbour[]) {
  const limits: number[] = [];
  const nearest = async (_: Float32Array, { limit }: { limit: number }) => {
    limits.push(limit);
    return [...rows].sort((a, b) => a.distance - b.distance || (a.path < b.path ? 1 : -1)).slice(0, limit);
  };
  return { nearest, limits };
}

const options = { where: undefined, exact: true };

test("more is fetched until the last wanted row differs from the last fetched", async () => {
  const rows = Array.from({ length: 500 }, (_, i) =>
    row(`/${String(i).padStart(3, "0")}`, i < 2 ? 0.1 : 0.5),
  );
  const t = table([...rows, row("/far", 0.9)]);
  const found = await rank(t, new Float32Array(1), { count: 4, ...options });
  expect(found.map((r) => r.path)).toEqual(["/000", "/001", "/002", "/003"]);
  expect(t.limits).toEqual([20, 80, 320, 1280]);
});

test("one look is enough where nothing is equal or everything was fetched", async () => {
  const different = table(Array.from({ length: 50 }, (_, i) => row(`/${i}`, i)));
  expect(await rank(different, new Float32Array(1), { count: 3, ...options })).toHaveLength(3);
  expect(different.limits).toHaveLength(1);
  const few = table([row("/b", 0.5), row("/a", 0.5)]);
  expect((await rank(few, new Float32Array(1), { count: 5, ...options })).map((r) => r.path)).toEqual([
    "/a",
    "/b",
  ]);
  expect(few.limits).toHaveLength(1);
});

test("there is an end to looking", async () => {
  const t = table(Array.from({ length: 30_000 }, (_, i) => row(`/${i}`, 0.5)));
  expect(await rank(t, new Float32Array(1), { count: 1, ...options })).toHaveLength(1);
  expect(Math.max(...t.limits)).toBeLessThanOrEqual(20_000);
});
