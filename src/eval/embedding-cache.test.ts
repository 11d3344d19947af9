import { appendFile, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { colourEmbedder, loadColour } from "./colour-embedder.fixture.ts";
import { openEmbeddingCache } from "./embedding-cache.node.ts";
import { evaluateRetrieval } from "./retrieval.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-cache-"));
});
afterEach(() => rm(folder, { recursive: true }));

const evaluate = async (embedder: ReturnType<typeof colourEmbedder>) => {
  const cache = await openEmbeddingCache(join(folder, "cache"), "colours/1 squash");
  const items = ["red", "green", "blue"].map((c) => ({
    path: join(folder, `${c}.png`),
    captions: { en: [`a ${c} one`] },
  }));
  return evaluateRetrieval(embedder, items, { loadImage: loadColour, cache, batchSize: 1 });
};

test("a second evaluation embeds nothing and gives the same; changed files are embedded again", async () => {
  for (const c of ["red", "green", "blue"]) await writeFile(join(folder, `${c}.png`), c);
  const first = await evaluate(colourEmbedder());
  const again = colourEmbedder();
  expect(await evaluate(again)).toEqual(first);
  expect(again.calls).toEqual({ images: 0, texts: [] });

  await utimes(join(folder, "green.png"), 1, 1);
  const changed = colourEmbedder();
  await evaluate(changed);
  expect(changed.calls.images).toBe(1);
});

test("a line cut off by a kill is dropped and written anew", async () => {
  const open = () => openEmbeddingCache(folder, "m");
  const cache = await open();
  await cache.set([
    ["a", Float32Array.of(1, 2)],
    ["b", Float32Array.of(3, 4)],
  ]);
  const [file] = await readdir(folder);
  await appendFile(join(folder, file!), '["c","AAB');
  const reopened = await open();
  expect(reopened.get("b")).toEqual(Float32Array.of(3, 4));
  expect(reopened.get("c")).toBeUndefined();
  await reopened.set([["c", Float32Array.of(5)]]);
  const third = await open();
  expect([third.get("a"), third.get("c")]).toEqual([Float32Array.of(1, 2), Float32Array.of(5)]);
});

test("a missing picture is told by its path", async () => {
  await expect(evaluate(colourEmbedder())).rejects.toThrow(
    /3 of 3 pictures cannot be read[\s\S]*red.png: ENOENT/,
  );
});
