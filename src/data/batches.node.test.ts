import { mkdtempSync, rmSync } from "node:fs";
import { copyFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError, MediaError } from "../core/errors.ts";
import type { BatchOptions } from "./batch-options.ts";
import { openBatches, type TrainingBatch } from "./batches.node.ts";
import type { ManifestItem } from "./manifest.ts";

const COUNT = 24;
let dir: string;
let items: ManifestItem[];

/** Every picture has a colour of its own, so that pixels tell which picture they are from. */
const colourOf = (i: number) => [10 * i + 5, 255 - 10 * i, (i * 53) % 256] as const;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "batches-"));
  items = await Promise.all(
    Array.from({ length: COUNT }, async (_, i): Promise<ManifestItem> => {
      const [r, g, b] = colourOf(i);
      const path = join(dir, `${i}.png`);
      const size = { width: 20 + i, height: 40 - i };
      await sharp({ create: { ...size, channels: 3, background: { r, g, b } } })
        .composite([
          {
            input: { create: { width: 6, height: 6, channels: 3, background: "#fff" } },
            left: i % 9,
            top: 2,
          },
        ])
        .png()
        .toFile(path);
      const captions = { en: [`picture ${i}`, `image ${i}`], de: [`Bild ${i}`] };
      return { image: `${i}.png`, path, captions, split: "train", weight: 1 };
    }),
  );
});
afterAll(() => rmSync(dir, { recursive: true }));

const options = (more: Partial<BatchOptions> = {}): BatchOptions => ({
  items,
  batchSize: 5,
  size: 8,
  augmentation: { scale: [0.5, 1], flip: 0.5 },
  seed: 7,
  ...more,
});

async function take(count: number, how: BatchOptions): Promise<TrainingBatch[]> {
  await using batches = openBatches(how);
  const taken: TrainingBatch[] = [];
  while (taken.length < count) taken.push(await batches.next());
  return taken;
}

describe("batch k depends on (seed, k) alone", () => {
  let reference: TrainingBatch[];
  beforeAll(async () => {
    reference = await take(10, options({ workers: 1, prefetch: 1 }));
  });

  test("steps in order, with matching pixels, texts and items", () => {
    expect(reference.map((b) => b.step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const { pixels, texts, items: used } of reference) {
      expect(pixels.dtype).toBe("u8");
      expect(pixels.shape).toEqual([5, 8, 8, 3]);
      expect(new Set(used).size).toBe(5);
      used.forEach((item, slot) => {
        expect(texts[slot]).toMatch(new RegExp(`^(picture|image|Bild) ${item}$`));
        const last = pixels.data.subarray((slot + 1) * 192 - 3, (slot + 1) * 192);
        expect(Array.from(last)).toEqual([...colourOf(item)]);
      });
    }
    // 24 pictures make 4 batches of 5 an epoch: no picture twice in it, and the next epoch differs.
    const epoch = (e: number) => reference.slice(e * 4, e * 4 + 4).flatMap((b) => b.items);
    expect(new Set(epoch(0)).size).toBe(20);
    expect(epoch(0)).not.toEqual(epoch(1));
  });

  test("with three threads and room for a few pictures", async () => {
    expect(await take(10, options({ workers: 3, prefetch: 7, cacheBytes: 10_000 }))).toEqual(reference);
  });

  test("resumed in the second epoch", async () => {
    expect(await take(4, options({ startStep: 6, workers: 2 }))).toEqual(reference.slice(6));
  });
});

test("groups are kept apart, broken pictures are reported once by whichever thread met them", async () => {
  const grouped = items.map((item, i) => ({
    ...item,
    group: `pair ${i >> 1}`,
    ...(i === 3 ? { path: join(dir, "gone.png") } : {}),
  }));
  const reports: string[] = [];
  const onBroken = ({ item, path, reason }: { item: number; path: string; reason: string }) => {
    reports.push(`${item} ${path} ${reason.includes("ENOENT")}`);
  };
  for (const { items: used, texts } of await take(9, options({ items: grouped, workers: 2, onBroken }))) {
    expect(new Set(used.map((i) => i >> 1)).size).toBe(5);
    expect(used).not.toContain(3);
    used.forEach((item, slot) => {
      expect(texts[slot]).toMatch(new RegExp(` ${item}$`));
    });
  }
  expect(reports).toEqual([`3 ${join(dir, "gone.png")} true`]);
});

test("the share of first captions reaches the draw", async () => {
  const [batch] = await take(1, options({ batchSize: 24, languages: { en: 1 }, firstCaptionShare: 1 }));
  batch!.texts.forEach((text, slot) => {
    expect(text).toBe(`picture ${batch!.items[slot]}`);
  });
});

test("text pairs follow the captions, which they leave as they are", async () => {
  const lists = Array.from({ length: 6 }, (_, i) => [`name ${i}`, `other ${i}`] as const);
  const textPairs = { lists, count: 3 };
  const [plain, paired] = [await take(3, options()), await take(3, options({ textPairs }))];
  for (const [step, { texts }] of paired.entries()) {
    expect(texts.slice(0, 5)).toEqual(plain[step]!.texts);
    const pairs = texts.slice(5);
    expect(pairs.slice(3)).toEqual(pairs.slice(0, 3).map((name) => name.replace("name", "other")));
    expect(new Set(pairs).size).toBe(6);
  }
  expect(paired[0]!.texts.slice(5)).not.toEqual(paired[1]!.texts.slice(5));
  expect(await take(1, options({ textPairs, startStep: 2, workers: 2 }))).toEqual(paired.slice(2));
  expect(() => openBatches(options({ textPairs: { lists, count: 7 } }))).toThrow(
    /textPairs: expected 1 to 6 .* found 7/,
  );
});

test("each table of languages draws a caption of every picture", async () => {
  const languages = [{ en: 1 }, { de: 1 }];
  const [batch] = await take(1, options({ batchSize: 24, languages, firstCaptionShare: 1 }));
  expect(batch!.texts).toEqual([
    ...batch!.items.map((item) => `picture ${item}`),
    ...batch!.items.map((item) => `Bild ${item}`),
  ]);
  const untranslated = [{ en: 1 }, { fr: 1 }];
  expect(() => openBatches(options({ languages: untranslated }))).toThrow("none for 24 of 24");
});

test("works ahead as far as asked and no further; an error reaches whoever asks", async () => {
  const copies = await Promise.all(
    items.map(async (item, i) => {
      const path = join(dir, `copy-${i}.png`);
      await copyFile(item.path, path);
      return { ...item, path };
    }),
  );
  await using batches = openBatches(options({ items: copies, prefetch: 3, cacheBytes: 0 }));
  while (batches.ready < 3) await sleep(20);
  await sleep(200);
  expect(batches.ready).toBe(3);
  // Without their files no fourth batch can be made: exactly those three were made ahead.
  await Promise.all(copies.map(({ path }) => rm(path)));
  for (const step of [0, 1, 2]) expect((await batches.next()).step).toBe(step);
  const error: unknown = await batches.next().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(MediaError);
  expect((error as Error).message).toMatch(/found none among 24 items; the first: .*copy-/);
  await expect(batches.next()).rejects.toBe(error);
  expect(batches.waitedMs).toBeGreaterThan(0);
});

test("leaving the loop ends the threads; later calls are told", async () => {
  const batches = openBatches(options({ workers: 2 }));
  for await (const batch of batches) if (batch.step === 2) break;
  await expect(batches.next()).rejects.toThrow(/disposed of/);
  expect(process.getActiveResourcesInfo().filter((r) => r === "Worker" || r === "MessagePort")).toEqual([]);
});

test("disposing while pictures are being decoded is clean, and ends those who wait", async () => {
  const batches = openBatches(options({ workers: 2, cacheBytes: 0 }));
  await batches.next();
  const waiting = Promise.allSettled(Array.from({ length: 12 }, () => batches.next()));
  await batches[Symbol.asyncDispose]();
  expect((await waiting).at(-1)!.status).toBe("rejected");
});

test("names every option that cannot be used", () => {
  const silent = [...items.slice(0, 5), { ...items[5]!, captions: { fr: ["image"] } }];
  const bad = options({
    items: silent,
    batchSize: 7,
    size: 0,
    workers: 0.5,
    augmentation: { scale: [0, 2], ratio: [2, 1], flip: 3 },
    languages: { en: 1, de: -1 },
  });
  let error: unknown;
  try {
    openBatches(bad);
  } catch (e) {
    error = e;
  }
  expect(error).toBeInstanceOf(ConfigError);
  for (const part of [
    "size: expected a whole number from 1, found 0",
    "workers: expected a whole number from 1, found 0.5",
    "augmentation.scale",
    "augmentation.ratio",
    "augmentation.flip",
    "languages.de",
    "none for 1 of 6 (first: 5.png)",
    "batchSize: expected at most the 6 pictures",
  ])
    expect((error as Error).message).toContain(part);
});
