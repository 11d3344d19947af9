import { readdir, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import sharp from "sharp";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { MediaError, UsageError } from "../core/errors.ts";
import { contentHash } from "./picture.ts";
import { patches, plain, put } from "./test-support.ts";
import { type ThumbnailOptions, Thumbnails } from "./thumbnails.ts";

async function workplace(options?: ThumbnailOptions) {
  const folder = await temporaryFolder();
  const cache = join(folder.path, "cache");
  return {
    cache,
    thumbnails: new Thumbnails(cache, options),
    add: async (name: string, bytes: Buffer) => {
      await put(folder.path, { [name]: bytes });
      return [join(folder.path, name), await contentHash(bytes)] as const;
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("small WebP pictures of the same proportions, upright, never enlarged", async () => {
  await using w = await workplace();
  const turned = await sharp(await plain("red", 900, 600))
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  const cmyk = await sharp(await plain("blue", 700, 350))
    .toColourspace("cmyk")
    .jpeg()
    .toBuffer();
  const cases: [Buffer, number, number, number][] = [
    [await patches(1, 640, 480), 320, 320, 240],
    [turned, 300, 200, 300],
    [await plain("red", 40, 20), 320, 40, 20],
    [cmyk, 100, 100, 50],
  ];
  for (const [i, [bytes, size, width, height]] of cases.entries()) {
    const [path, hash] = await w.add(`${i}.img`, bytes);
    const { format, ...found } = await sharp(await w.thumbnails.get(path, hash, size)).metadata();
    expect([format, found.width, found.height]).toEqual(["webp", width, height]);
  }
});

test("kept under the contents' hash: found again after a start, without the original, until it changes", async () => {
  await using w = await workplace();
  const [path, hash] = await w.add("a.png", await patches(1, 64, 64));
  const first = await w.thumbnails.get(path, hash);
  await unlink(path);
  const restarted = new Thumbnails(w.cache);
  expect(await restarted.get(path, hash)).toEqual(first);
  await expect(restarted.get(path, hash, 64)).rejects.toThrow(MediaError);

  // The picture changed and the index does not know yet: the new face is shown, and the old name is not reused.
  const [, newHash] = await w.add("a.png", await patches(2, 64, 64));
  const stale = await restarted.get(path, "0".repeat(64));
  expect(stale).not.toEqual(first);
  expect((await readdir(w.cache)).toSorted()).toEqual([`${hash}-320.webp`, `${newHash}-320.webp`].toSorted());

  await unlink(join(w.cache, `${newHash}-320.webp`));
  expect(await restarted.get(path, newHash)).toEqual(stale);
});

test("requests for the same picture at once are one piece of work", async () => {
  await using w = await workplace();
  const [path, hash] = await w.add("a.png", await patches(1, 640, 480));
  const all = await Promise.all(Array.from({ length: 8 }, () => w.thumbnails.get(path, hash)));
  expect(new Set(all).size).toBe(1);
  expect(await readdir(w.cache)).toHaveLength(1);
});

test("the cache stays within its bytes; the longest unused leave first", async () => {
  await using w = await workplace({ cacheBytes: 20_000 });
  const pictures = [];
  for (let i = 0; i < 30; i++) {
    const noise = Buffer.from(
      Uint8Array.from({ length: 64 * 64 * 3 }, (_, j) => Math.imul(j + i * 977, 2654435761) >>> 24),
    );
    const bytes = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .png()
      .toBuffer();
    pictures.push(await w.add(`${i}.png`, bytes));
  }
  for (const [path, hash] of pictures) {
    await w.thumbnails.get(path, hash);
    await w.thumbnails.get(...pictures[0]!); // Used all the time.
  }
  const names = await readdir(w.cache);
  const sizes = await Promise.all(names.map(async (n) => (await stat(join(w.cache, n))).size));
  expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(20_000);
  expect(names.length).toBeLessThan(29);
  expect(names).toContain(`${pictures[0]![1]}-320.webp`);
  expect(names).toContain(`${pictures[29]![1]}-320.webp`);
  expect(names).not.toContain(`${pictures[1]![1]}-320.webp`);
});

test("leftovers of a crash are cleared, work of others is not", async () => {
  await using w = await workplace();
  await put(w.cache, { "old.part": "x", "new.part": "x" });
  await utimes(join(w.cache, "old.part"), new Date(), new Date(Date.now() - 2 * 3_600_000));
  await w.thumbnails.get(...(await w.add("a.png", await patches(1))));
  expect(await readdir(w.cache)).toContain("new.part");
  expect(await readdir(w.cache)).not.toContain("old.part");
});

test("once all have settled nothing is written any more", async () => {
  await using w = await workplace();
  const added = await Promise.all(
    [1, 2, 3, 4, 5].map(async (i) => w.add(`${i}.png`, await patches(i, 300, 300))),
  );
  const wanted = Promise.all(added.map((picture) => w.thumbnails.get(...picture)));
  while ((await readdir(w.cache).catch(() => [])).length === 0) await setTimeout(1);
  await w.thumbnails.settled();
  const names = (await readdir(w.cache)).sort();
  expect(names).toEqual(added.map(([, hash]) => `${hash}-320.webp`).sort());
  await wanted;
});

test("impossible sizes, bombs and broken pictures are refused", async () => {
  await using w = await workplace({ maxPixels: 10_000, maxBytes: 100_000 });
  const bytes = await patches(1);
  const [path, hash] = await w.add("a.png", bytes);
  for (const size of [0, 15, 1025, 20.5, Number.NaN])
    await expect(w.thumbnails.get(path, hash, size)).rejects.toThrow(UsageError);
  const refused: [Buffer, RegExp][] = [
    [await plain("red", 200, 100), /at most 10000 pixels/],
    [Buffer.concat([bytes, Buffer.alloc(100_000)]), /at most 100000 bytes/],
    [(await patches(3, 90, 90)).subarray(0, 120), /damaged|complete/],
    [Buffer.from("words"), /expected a JPEG.*text/],
  ];
  for (const [i, [contents, reason]] of refused.entries()) {
    const bad = await w.add(`bad-${i}.png`, contents);
    await expect(w.thumbnails.get(...bad)).rejects.toThrow(MediaError);
    await expect(w.thumbnails.get(...bad)).rejects.toThrow(reason);
  }
  const [large, largeHash] = await w.add("large.png", await plain("red", 200, 100));
  const limits = { maxPixels: 20_000, maxBytes: 100_000 };
  expect((await w.thumbnails.get(large, largeHash, 320, limits)).length).toBeGreaterThan(20);
  await writeFile(path, bytes);
  expect((await w.thumbnails.get(path, hash)).length).toBeGreaterThan(20);
});
