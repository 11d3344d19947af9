import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { BatchMaker, type BatchWork } from "./batch-maker.node.ts";
import { makeCacheMemory, PictureCache } from "./picture-cache.ts";

const COUNT = 12;
const SIZE = 8;
let dir: string;
let paths: string[];

/** Every picture has a colour of its own, so that pixels tell which picture they are from. */
const colourOf = (i: number) => [20 * i + 5, 255 - 20 * i, (i * 53) % 256] as const;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "maker-"));
  paths = await Promise.all(
    Array.from({ length: COUNT }, async (_, i) => {
      const [r, g, b] = colourOf(i);
      const path = join(dir, `${i}.png`);
      await sharp({ create: { width: 20 + i, height: 40 - i, channels: 3, background: { r, g, b } } })
        .png()
        .toFile(path);
      return path;
    }),
  );
});
afterAll(() => rmSync(dir, { recursive: true }));

const work = (more: Partial<BatchWork> = {}, cacheBytes = 2 ** 20): BatchWork => ({
  paths,
  groups: Int32Array.from(paths, (_, i) => i),
  weights: new Float64Array(COUNT).fill(1),
  size: SIZE,
  storeSide: 16,
  augmentation: { scale: [0.5, 1], flip: 0.5 },
  seed: "s",
  decoding: {},
  cache: makeCacheMemory(COUNT, cacheBytes),
  ...more,
});

const plan = (...items: number[]) => Int32Array.from(items);

test("pixels are those of the planned items, in their order", async () => {
  const { step, items, pixels, broken } = await new BatchMaker(work()).make(3, plan(7, 2, 11));
  expect([step, [...items], broken]).toEqual([3, [7, 2, 11], []]);
  expect(pixels.length).toBe(3 * SIZE * SIZE * 3);
  for (const [slot, item] of [7, 2, 11].entries())
    expect([...pixels.subarray(slot * SIZE * SIZE * 3).subarray(0, 3)]).toEqual([...colourOf(item)]);
});

describe("views depend on seed, step and slot, not on what was made before or kept", () => {
  let path: string;
  beforeAll(async () => {
    path = join(dir, "noise.png");
    const noise = Buffer.from(Array.from({ length: 48 * 36 * 3 }, (_, i) => (i * i * 31) % 256));
    await sharp(noise, { raw: { width: 48, height: 36, channels: 3 } })
      .png()
      .toFile(path);
  });
  const noisy = (more: Partial<BatchWork> = {}, cacheBytes?: number) =>
    work({ paths: new Array(COUNT).fill(path), ...more }, cacheBytes);

  test("the same with every cache, and when made again from it", async () => {
    const first = await new BatchMaker(noisy()).make(5, plan(0, 1, 2, 3));
    for (const cacheBytes of [0, 2000, 2 ** 20]) {
      const maker = new BatchMaker(noisy({}, cacheBytes));
      await maker.make(1, plan(3, 9, 0));
      expect(await maker.make(5, plan(0, 1, 2, 3))).toEqual(first);
      expect(await maker.make(5, plan(0, 1, 2, 3))).toEqual(first);
    }
  });

  test("another step, slot or seed is another view", async () => {
    const maker = new BatchMaker(noisy());
    const views = new Set<string>();
    for (const step of [1, 2]) {
      const { pixels } = await maker.make(step, plan(0, 0));
      views.add(Buffer.from(pixels.subarray(0, 192)).toString("hex"));
      views.add(Buffer.from(pixels.subarray(192)).toString("hex"));
    }
    const { pixels } = await new BatchMaker(noisy({ seed: "t" })).make(1, plan(0));
    views.add(Buffer.from(pixels).toString("hex"));
    expect(views.size).toBe(5);
  });

  test("pictures are kept with the store's shorter side", async () => {
    const job = noisy({ storeSide: 9 });
    await new BatchMaker(job).make(0, plan(4));
    expect(new PictureCache(job.cache).get(4)).toMatchObject({ width: 12, height: 9 });
  });
});

describe("broken pictures", () => {
  let damaged: string[];
  beforeAll(() => {
    const text = join(dir, "text.png");
    writeFileSync(text, "no picture");
    damaged = paths.map((path, i) => (i === 4 || i === 5 ? text : i === 11 ? join(dir, "gone.png") : path));
  });

  test("are replaced by the next that is whole and not in the batch, and reported once", async () => {
    const maker = new BatchMaker(work({ paths: damaged }));
    const first = await maker.make(0, plan(4, 6, 11));
    expect([...first.items]).toEqual([7, 6, 0]);
    expect([...first.pixels.subarray(0, 3)]).toEqual([...colourOf(7)]);
    const reasons = first.broken.map(({ item, reason }) => `${item} ${reason}`).sort();
    expect(reasons).toEqual([
      expect.stringMatching(/^11 .*gone\.png: .*ENOENT/),
      expect.stringMatching(/^4 .*text\.png: .*a text file/),
      expect.stringMatching(/^5 .*text\.png/),
    ]);
    expect((await maker.make(0, plan(4, 6, 11))).broken).toEqual([]);
  });

  test("their replacement is of another group than the batch, and may be drawn at all", async () => {
    const groups = Int32Array.from([0, 1, 2, 3, 4, 5, 6, 6, 8, 9, 10, 11]);
    const weights = new Float64Array(COUNT).fill(1);
    weights[8] = 0;
    const maker = new BatchMaker(work({ paths: damaged, groups, weights }));
    expect([...(await maker.make(0, plan(4, 6))).items]).toEqual([9, 6]);
  });

  test("repeat a picture rather than fail, and fail with the reason when there is none", async () => {
    const one = paths.map((path, i) => (i === 2 ? path : join(dir, "gone.png")));
    expect([...(await new BatchMaker(work({ paths: one })).make(0, plan(1, 2, 3))).items]).toEqual([2, 2, 2]);
    const none = new BatchMaker(work({ paths: new Array(COUNT).fill(join(dir, "gone.png")) }));
    const error: unknown = await none.make(0, plan(1)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(MediaError);
    expect((error as Error).message).toMatch(/found none among 12 items; the first: .*gone\.png/);
    await expect(none.make(1, plan(2))).rejects.toThrow(/reported before/);
  });
});
