import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { classify } from "../examples/classify.ts";
import { similarities } from "../examples/embed.ts";
import { search } from "../examples/search.ts";

/** The examples of the README, run on the shipped model and gallery. */
const gallery = (path = ""): string => fileURLToPath(new URL(`../gallery/${path}`, import.meta.url));

test("embed: cosines of a picture and texts", async () => {
  const cosines = await similarities(gallery("animals/cat-face.webp"), ["cat", "aeroplane"]);
  expect(cosines).toHaveLength(2);
  for (const c of cosines) expect(Math.abs(c)).toBeLessThanOrEqual(1.0001);
});

test("classify: probabilities in falling order that add up to one", async () => {
  const result = await classify(gallery("animals/cat-face.webp"), ["cat", "pizza", "aeroplane"]);
  expect(result.reduce((sum, r) => sum + r.probability, 0)).toBeCloseTo(1, 5);
  expect(result.map((r) => r.probability)).toEqual(result.map((r) => r.probability).sort((a, b) => b - a));
});

test("search: a folder is indexed and answers", async () => {
  const dir = await mkdtemp(join(tmpdir(), "internvl-example-"));
  try {
    const results = await search(gallery("food"), "pizza", dir);
    expect(results).toHaveLength(5);
    expect(results[0]!.score).toBeGreaterThanOrEqual(results[4]!.score);
  } finally {
    await rm(dir, { recursive: true });
  }
});
