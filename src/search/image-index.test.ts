import { rename, rm, symlink, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { ConfigError, MediaError, UsageError } from "../core/errors.ts";
import { FolderLock } from "../core/folder-lock.node.ts";
import { ImageIndex } from "./image-index.ts";
import type { Progress } from "./progress.ts";
import { cosine, fakeEmbedder, patches, plain, put, rowsOf } from "./test-support.ts";

const nothing = {
  added: 0,
  changed: 0,
  reused: 0,
  removed: 0,
  unchanged: 0,
  failed: 0,
  stillFailed: 0,
  problems: [],
  unsupported: {},
};

async function workplace() {
  const temporary = await temporaryFolder();
  const pictures = join(temporary.path, "pictures");
  const calls: number[] = [];
  const embedder = fakeEmbedder({ onImages: (n) => calls.push(n) });
  const dir = join(temporary.path, "index");
  const index = await ImageIndex.open(dir, embedder);
  return {
    root: temporary.path,
    pictures,
    dir,
    embedder,
    index,
    /** Pictures embedded since the last call of this function. */
    embedded: () => calls.splice(0).reduce((a, b) => a + b, 0),
    [Symbol.asyncDispose]: async () => {
      await index[Symbol.asyncDispose]();
      await temporary[Symbol.asyncDispose]();
    },
  };
}

test("words and pictures find what they mean; results carry their facts", async () => {
  await using w = await workplace();
  await put(w.pictures, {
    "a/red.png": await plain("red"),
    "b/blue.png": await plain("blue"),
    "green.png": await plain("green"),
  });
  expect(await w.index.search({ text: "red" })).toEqual([]);
  expect(await w.index.update(w.pictures)).toEqual({ ...nothing, added: 3 });

  const [first, ...rest] = await w.index.search({ text: "something blue", k: 3 });
  expect(first).toMatchObject({
    path: join(w.pictures, "b/blue.png"),
    folder: w.pictures,
    width: 24,
    height: 16,
    sizeBytes: (await plain("blue")).length,
  });
  expect(first!.score).toBeGreaterThan(0.99);
  expect(rest.map((r) => r.score < 0.1)).toEqual([true, true]);
  expect((await w.index.search({ image: await plain("green"), k: 1 }))[0]!.path).toBe(
    join(w.pictures, "green.png"),
  );
  expect((await w.index.search({ image: join(w.pictures, "a/red.png"), k: 1 }))[0]!.path).toBe(
    join(w.pictures, "a/red.png"),
  );
  expect((await w.index.search({ text: "blue", folder: join(w.pictures, "a") })).map((r) => r.path)).toEqual([
    join(w.pictures, "a/red.png"),
  ]);
  expect(await w.index.stats()).toMatchObject({
    images: 3,
    failed: 0,
    folders: [{ path: w.pictures, images: 3, failed: 0 }],
    model: "colours-1",
    dimension: 64,
    exact: true,
  });
  expect(await w.index.sizeBytes()).toBeGreaterThan(3 * 64 * 4);
});

test("an update does only what changed", async () => {
  await using w = await workplace();
  await put(w.pictures, { "1.png": await patches(1), "2.png": await patches(2), "3.png": await patches(3) });
  await w.index.update(w.pictures);
  expect(w.embedded()).toBe(3);

  expect(await w.index.update()).toEqual({ ...nothing, unchanged: 3 });
  expect(w.embedded()).toBe(0);

  const path = (name: string) => join(w.pictures, name);
  const before = await w.index.get(path("3.png"));
  await utimes(path("3.png"), new Date(1e12), new Date(1e12));
  await put(w.pictures, { "2.png": await patches("other"), "new/4.png": await patches(4) });
  await unlink(path("1.png"));
  expect(await w.index.update()).toEqual({ ...nothing, added: 1, changed: 1, reused: 1, removed: 1 });
  expect(w.embedded()).toBe(2);
  expect(await w.index.get(path("3.png"))).toEqual({ ...before, mtimeMs: 1e12 });
  expect(await w.index.get(path("1.png"))).toBeUndefined();

  const vectors = new Map((await rowsOf(w.dir)).map((r) => [r.path, r.vector]));
  await rename(path("new"), path("moved"));
  await put(w.pictures, { "copy.png": await patches(4) });
  expect(await w.index.update()).toEqual({ ...nothing, reused: 2, removed: 1, unchanged: 2 });
  expect(w.embedded()).toBe(0);
  const after = await rowsOf(w.dir);
  expect(after.map((r) => r.path)).toEqual(["2.png", "3.png", "copy.png", "moved/4.png"].map(path));
  expect(after.find((r) => r.path === path("moved/4.png"))!.vector).toEqual(vectors.get(path("new/4.png")));
});

test("broken files are listed with reasons, remembered, and tried again when they change", async () => {
  await using w = await workplace();
  const good = await patches(1);
  // A PNG header that claims 60000 × 60000 pixels.
  const bomb = Buffer.from(await plain("red"));
  bomb.writeUInt32BE(60_000, 16);
  bomb.writeUInt32BE(60_000, 20);
  await put(w.pictures, {
    "good.png": good,
    "cut.png": good.subarray(0, good.length / 2),
    "empty.jpg": "",
    "words.jpg": "these are words, no picture",
    "bomb.png": bomb,
    "large.png": Buffer.concat([good, Buffer.alloc(50_000)]),
  });
  const limits = { maxBytes: 20_000 };
  expect(await w.index.update(w.pictures, { limits })).toEqual({ ...nothing, added: 1, failed: 5 });
  const failures = await w.index.failures();
  expect(failures.map((f) => f.path.slice(w.pictures.length + 1))).toEqual([
    "bomb.png",
    "cut.png",
    "empty.jpg",
    "large.png",
    "words.jpg",
  ]);
  const reasons = failures.map((f) => f.reason);
  expect(reasons[0]).toMatch(/pixels.*60000/);
  expect(reasons[1]).toMatch(/damaged|complete/);
  expect(reasons[2]).toMatch(/empty/);
  expect(reasons[3]).toMatch(/at most 20000 bytes, found 5/);
  expect(reasons[4]).toMatch(/expected a JPEG.*text/);
  for (const reason of reasons) expect(reason).not.toContain("picture in memory");
  expect(await w.index.search({ text: "red", k: 10 })).toHaveLength(1);

  expect(await w.index.update(w.pictures)).toEqual({ ...nothing, unchanged: 1, stillFailed: 5 });
  expect(await w.index.update(w.pictures, { retryFailed: true })).toEqual({
    ...nothing,
    added: 1,
    unchanged: 1,
    failed: 4,
  });
  await put(w.pictures, { "cut.png": await patches(2) });
  expect(await w.index.update()).toEqual({ ...nothing, added: 1, unchanged: 2, stillFailed: 3 });
  await put(w.pictures, { "good.png": "ruined" });
  expect(await w.index.update()).toMatchObject({ failed: 1 });
  expect(await w.index.get(join(w.pictures, "good.png"))).toBeUndefined();
  expect(await w.index.stats()).toMatchObject({ images: 2, failed: 4 });
});

test("names may be anything that a file system allows", async () => {
  await using w = await workplace();
  const names = [
    "it's.png",
    "100%_a.png",
    "new\nline.png",
    "日本語 é\u0301.png",
    "\u{1F600}.png",
    'q"uo\\te.png',
    "'; DROP TABLE images; --.png",
  ];
  for (const [i, name] of names.entries()) await put(w.pictures, { [`d'ir ${i}/${name}`]: await patches(i) });
  expect(await w.index.update(w.pictures)).toEqual({ ...nothing, added: names.length });
  for (const [i, name] of names.entries()) {
    const path = join(w.pictures, `d'ir ${i}`, name);
    expect((await w.index.get(path))?.path).toBe(path);
    expect(
      (await w.index.search({ text: "red", folder: join(w.pictures, `d'ir ${i}`) })).map((r) => r.path),
    ).toEqual([path]);
    expect((await w.index.moreLikeThis(path)).map((r) => r.path)).not.toContain(path);
  }
  expect(await w.index.update()).toEqual({ ...nothing, unchanged: names.length });
  await rm(join(w.pictures, "d'ir 0"), { recursive: true });
  expect(await w.index.update()).toEqual({ ...nothing, unchanged: names.length - 1, removed: 1 });
  expect(await w.index.get("/no\0where")).toBeUndefined();
});

test("links are not followed, neither out of the folder nor round in circles; hidden things are left out", async () => {
  await using w = await workplace();
  await put(w.root, { "outside/secret.png": await patches("secret") });
  await put(w.pictures, {
    "in/a.png": await patches(1),
    ".hidden/b.png": await patches(2),
    "node_modules/c.png": await patches(3),
    ".d.png": await patches(4),
    "notes.txt": "no picture",
  });
  await symlink(w.pictures, join(w.pictures, "in/loop"));
  await symlink(join(w.root, "outside"), join(w.pictures, "out"));
  await symlink(join(w.root, "outside/secret.png"), join(w.pictures, "in/secret.png"));
  expect(await w.index.update(w.pictures)).toEqual({ ...nothing, added: 1 });

  // A folder may be named by a link to it, as when it was indexed.
  await symlink(w.pictures, join(w.root, "shortcut"));
  const named = { folder: join(w.root, "shortcut/in") };
  expect(await w.index.search({ text: "red", ...named })).toHaveLength(1);
  expect(await w.index.list(named)).toHaveLength(1);

  // Put there after the walk: neither its thumbnail nor the file itself is given out.
  const path = join(w.pictures, "in/a.png");
  await w.index.thumbnail(path);
  await unlink(path);
  await symlink(join(w.root, "outside/secret.png"), path);
  await expect(w.index.thumbnail(path)).rejects.toThrow(UsageError);
  await expect(w.index.original(join(w.root, "outside/secret.png"))).rejects.toThrow(
    /expected a picture of the index/,
  );
});

test("several folders, one inside another, and taking them out", async () => {
  await using w = await workplace();
  await put(w.root, {
    "pictures/a.png": await patches(1),
    "pictures/inner/b.png": await patches(2),
    "pictures2/c.png": await patches(3),
  });
  const inner = join(w.pictures, "inner");
  const second = join(w.root, "pictures2");
  await w.index.update([inner, second]);
  await w.index.update([w.pictures]);
  expect((await w.index.folders()).toSorted()).toEqual([w.pictures, inner, second]);
  expect((await w.index.list()).map((i) => i.folder)).toEqual([w.pictures, inner, second]);
  expect((await w.index.list({ limit: 1, after: join(w.pictures, "a.png") })).map((i) => i.path)).toEqual([
    join(inner, "b.png"),
  ]);

  await expect(w.index.remove(w.root)).rejects.toThrow(/its folders are .*pictures2/);
  await w.index.remove(w.pictures);
  expect((await w.index.list()).map((i) => i.path)).toEqual([join(inner, "b.png"), join(second, "c.png")]);
  await w.index.update(w.pictures);
  await w.index.remove(inner);
  expect((await w.index.stats()).images).toBe(3);

  // A disk that is not there must not empty the index, nor keep the other folders from being updated.
  await rename(second, `${second}-unplugged`);
  await rm(join(w.pictures, "a.png"));
  expect(await w.index.update()).toMatchObject({
    removed: 1,
    problems: [{ path: second, reason: "it does not exist" }],
  });
  await expect(w.index.update(second)).rejects.toThrow(/pictures2 \(it does not exist\)/);
  expect((await w.index.stats()).images).toBe(2);
  await w.index.remove(second);
  expect((await w.index.stats()).images).toBe(1);
});

test("searches agree with comparing everything; equal scores are ordered by path; pages fit together", async () => {
  await using w = await workplace();
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 90; i++) files[`${i}.png`] = await patches(i % 60); // 30 pictures occur twice
  for (let i = 0; i < 30; i++) files[`same-${String(i).padStart(2, "0")}.png`] = await plain("red");
  await put(w.pictures, files);
  await w.index.update(w.pictures, { limits: { batch: 7, commitRows: 20 } });
  const rows = await rowsOf(w.dir);
  for (const text of ["red", "blue and white", "black yellow"]) {
    const [query] = await w.embedder.embedTexts([text]);
    const expected = new Map(rows.map((r) => [r.path, cosine(query!, r.vector!)]));
    const found = await w.index.search({ text, k: 120 });
    expect(new Set(found.map((f) => f.path))).toEqual(new Set(expected.keys()));
    for (const f of found) expect(f.score).toBeCloseTo(expected.get(f.path)!, 6);
    for (const [i, f] of found.slice(1).entries()) {
      const better = found[i]!;
      expect(better.score > f.score || (better.score === f.score && better.path < f.path)).toBe(true);
    }
    expect(await w.index.search({ text, k: 5 })).toEqual(found.slice(0, 5));
    expect(await w.index.search({ text, k: 7, offset: 11 })).toEqual(found.slice(11, 18));
    expect(await w.index.search({ vector: query!, k: 5 })).toEqual(found.slice(0, 5));
  }
  const like = await w.index.moreLikeThis(join(w.pictures, "0.png"), { k: 3 });
  expect(like[0]!.path).toBe(join(w.pictures, "60.png"));
  expect(like[0]!.score).toBeCloseTo(1, 6);
});

test("progress counts, rates and ends; an abort keeps what is finished", async () => {
  await using w = await workplace();
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 40; i++) files[`${i}.png`] = await patches(i);
  await put(w.pictures, { ...files, "bad.png": "bad" });
  const abort = new AbortController();
  const limits = { batch: 4, commitRows: 4 };
  const stop = (p: Progress) => {
    if (p.phase === "embed" && p.done >= 12) abort.abort(new Error("enough"));
  };
  await using slow = await ImageIndex.open(w.dir, fakeEmbedder({ delayMs: 120 }));
  await expect(slow.update(w.pictures, { limits, signal: abort.signal, onProgress: stop })).rejects.toThrow(
    "enough",
  );
  const { images: kept, failed } = await w.index.stats();
  expect(kept).toBeGreaterThanOrEqual(12);
  expect(kept).toBeLessThan(40);

  const seen: Progress[] = [];
  await slow.update(undefined, { limits, onProgress: (p) => seen.push(p) });
  expect([...new Set(seen.map((p) => p.phase))]).toEqual(["scan", "embed", "remove", "optimize", "done"]);
  const embedding = seen.filter((p) => p.phase === "embed");
  expect(new Set(embedding.map((p) => p.total))).toEqual(new Set([41 - kept - failed]));
  expect(
    embedding.some((p) => p.ratePerSecond > 0 && p.etaSeconds! > 0 && p.currentPath?.startsWith(w.pictures)),
  ).toBe(true);
  expect(await w.index.stats()).toMatchObject({ images: 40, failed: 1 });
});

test("searching while an update runs sees what is committed, also from another handle", async () => {
  await using w = await workplace();
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 32; i++) files[`${i}.png`] = await patches(i);
  await put(w.pictures, files);
  await using reader = await ImageIndex.open(w.dir, fakeEmbedder());
  await using writer = await ImageIndex.open(w.dir, fakeEmbedder({ delayMs: 150 }));
  const update = writer.update(w.pictures, { limits: { batch: 4, commitRows: 4 } });
  let finished = false;
  const end = update.then(() => {
    finished = true;
  });
  const counts: number[] = [];
  while (!finished) {
    const found = await reader.search({ text: "red", k: 100 });
    expect(new Set(found.map((f) => f.path)).size).toBe(found.length);
    counts.push(found.length);
    await new Promise((r) => setTimeout(r, 10));
  }
  await end;
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(counts.some((c) => c > 0 && c < 32)).toBe(true);
  expect(await reader.search({ text: "red", k: 100 })).toHaveLength(32);
});

test("another model's index is refused until it is rebuilt", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1) });
  await w.index.update(w.pictures);
  const other = fakeEmbedder({ id: "colours-2" });
  await expect(ImageIndex.open(w.dir, other)).rejects.toThrow(ConfigError);
  await expect(ImageIndex.open(w.dir, other)).rejects.toThrow(
    /made with colours-2.*made with colours-1.*--rebuild/,
  );
  await using rebuilt = await ImageIndex.open(w.dir, other, { rebuild: true });
  expect(await rebuilt.stats()).toMatchObject({ images: 0, folders: [{ path: w.pictures }] });
  expect(await rebuilt.update()).toEqual({ ...nothing, added: 1 });
  await expect(w.index.search({ text: "red" })).rejects.toThrow(/--rebuild/);
  expect((await rowsOf(w.dir)).length).toBe(1);
});

test("a table that is damaged or gone is refused at once, and can be begun again", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1) });
  await w.index.update(w.pictures);
  for (const [i, damage] of ["images-1.lance/_versions", "images-2.lance"].entries()) {
    await rm(join(w.dir, damage), { recursive: true });
    const opening = ImageIndex.open(w.dir, w.embedder);
    await expect(opening).rejects.toThrow(ConfigError);
    await expect(opening).rejects.toThrow(
      new RegExp(`the table images-${i + 1} .*: internvl index --rebuild --index .*index$`),
    );
    await using rebuilt = await ImageIndex.open(w.dir, w.embedder, { rebuild: true });
    expect(await rebuilt.update()).toEqual({ ...nothing, added: 1 });
  }
});

test("one writer at a time", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1) });
  await w.index.update(w.pictures);
  await using lock = await FolderLock.acquire(w.dir);
  await expect(w.index.update()).rejects.toThrow(new RegExp(`held by process ${process.pid}`));
  await expect(w.index.remove(w.pictures)).rejects.toThrow(/only one writing/);
  expect(await w.index.search({ text: "red" })).toHaveLength(1);
  await lock[Symbol.asyncDispose]();
  expect(await w.index.update()).toEqual({ ...nothing, unchanged: 1 });
});

test("a lock that is taken away stops the update before it writes", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1), "b.png": await patches(2) });
  const embedder = fakeEmbedder({ onImages: () => void rm(join(w.dir, "lock")), delayMs: 100 });
  await using index = await ImageIndex.open(w.dir, embedder);
  await expect(index.update(w.pictures)).rejects.toThrow(/expected to hold this lock, found it removed/);
  expect((await w.index.stats()).images).toBe(0);
});

test("impossible requests say what is possible", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1) });
  await w.index.update(w.pictures);
  const { index } = w;
  await expect(index.search({})).rejects.toThrow(/one of text, image and vector, found 0/);
  await expect(index.search({ text: "a", vector: new Float32Array(64) })).rejects.toThrow(/found 2/);
  await expect(index.search({ text: "  " })).rejects.toThrow(/1 to 10000 characters/);
  await expect(index.search({ vector: new Float32Array(64) })).rejects.toThrow(/not all zero/);
  await expect(index.search({ vector: new Float32Array(3).fill(1) })).rejects.toThrow(/64 finite numbers/);
  await expect(index.search({ text: "red", k: 0 })).rejects.toThrow(/k: expected a whole number from 1/);
  await expect(index.search({ text: "red", offset: -1 })).rejects.toThrow(/offset/);
  await expect(index.search({ text: "red", k: 10_000, offset: 1 })).rejects.toThrow(/offset \+ k/);
  await expect(index.search({ image: join(w.root, "none.png") })).rejects.toThrow(
    /none\.png: expected a picture file.*not exist/,
  );
  await expect(index.search({ image: Buffer.from("words") })).rejects.toThrow(MediaError);
  await expect(index.moreLikeThis(join(w.root, "none.png"))).rejects.toThrow(
    /expected a picture of the index/,
  );
  await expect(index.update(join(w.root, "none"))).rejects.toThrow(/none \(it does not exist\)/);
  await expect(index.update([join(w.pictures, "a.png")])).rejects.toThrow(/it is not a folder/);
  await expect(index.update(w.dir)).rejects.toThrow(/belongs to the index itself/);
  await expect(index.update(w.pictures, { limits: { batch: 0 } })).rejects.toThrow(
    /batch: expected a whole number/,
  );
  await expect(ImageIndex.open(join(w.root, "none"), w.embedder, { create: false })).rejects.toThrow(
    /expected an image index/,
  );
  await using empty = await ImageIndex.open(join(w.root, "none"), w.embedder);
  await expect(empty.remove(w.pictures)).rejects.toThrow(/add a folder first/);
});

test("a model that computes nonsense stops the update and keeps what was good", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1), "b.png": await patches(2), "c.png": await patches(3) });
  let calls = 0;
  const fake = fakeEmbedder();
  const embedder = {
    ...fake,
    embedImages: async (...given: Parameters<typeof fake.embedImages>) =>
      calls++ === 0 ? fake.embedImages(...given) : [new Float32Array(64).fill(Number.NaN)],
  };
  await using index = await ImageIndex.open(w.dir, embedder);
  await expect(index.update(w.pictures, { limits: { batch: 1 } })).rejects.toThrow(
    /64 finite numbers.*length NaN/,
  );
  expect((await w.index.stats()).images).toBe(1);
});

test("an index inside its own folder of pictures leaves itself out; a damaged one is refused", async () => {
  await using w = await workplace();
  await put(w.pictures, { "a.png": await patches(1) });
  await using index = await ImageIndex.open(join(w.pictures, "index"), w.embedder);
  await index.update(w.pictures);
  await index.thumbnail(join(w.pictures, "a.png"));
  await put(w.pictures, { "index/thumbnails/x.png": await patches(2) });
  expect(await index.update()).toEqual({ ...nothing, unchanged: 1 });
  await writeFile(join(index.dir, "index.json"), '{"format": 9}');
  await expect(ImageIndex.open(index.dir, w.embedder)).rejects.toThrow(/expected an image index of format 1/);
});
