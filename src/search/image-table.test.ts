import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { ImageIndex } from "./image-index.ts";
import { ImageTable, type Row } from "./image-table.ts";
import { readManifest } from "./manifest.ts";
import { inList, isUnder, quote, under } from "./sql.ts";
import { cosine, fakeEmbedder, patches, put } from "./test-support.ts";

const DIMENSION = 48;

function row(path: string, vector: Float32Array | null, error: string | null = null): Row {
  return { path, size: 1, mtime: 1.5, hash: `h${path}`, width: 3, height: 2, error, vector };
}

const normal = (rng: Rng) => Float32Array.from({ length: DIMENSION }, () => rng.normal());

async function openTable(dir: string): Promise<ImageTable & Disposable> {
  const table = await ImageTable.open(dir, "images-1", DIMENSION, "create");
  return Object.assign(table, { [Symbol.dispose]: () => table.close() });
}

test("rows come back as they went in; failed files have no vector and are never found", async () => {
  await using folder = await temporaryFolder();
  using table = await openTable(folder.path);
  const rng = new Rng("rows");
  const rows = [row("/a", normal(rng)), row("/b", null, "broken"), row("/c", normal(rng))];
  await table.upsert(rows);
  await table.upsert([]);
  expect((await table.rowsWhere("true")).sort((a, b) => (a.path < b.path ? -1 : 1))).toEqual(rows);
  const found = await table.nearest(rows[0]!.vector!, { limit: 10, where: undefined, exact: true });
  expect(found.map((f) => f.path)).toEqual(["/a", "/c"]);
  await table.upsert([row("/a", null, "now broken"), row("/b", rows[2]!.vector)]);
  expect(await table.count()).toBe(3);
  expect((await table.page(2, "/a", undefined)).map((r) => [r.path, r.error])).toEqual([
    ["/b", null],
    ["/c", null],
  ]);
  await expect(ImageTable.open(folder.path, "images-7", DIMENSION, "existing")).rejects.toThrow(ConfigError);
});

test("filters mean what they say, whatever the paths are", async () => {
  await using folder = await temporaryFolder();
  using table = await openTable(folder.path);
  const paths = [
    "/a/b",
    "/a/b/c",
    "/a/bc",
    "/a/b0",
    "/a/b.",
    "/a/b/é",
    "/a'/b",
    "/a%/b",
    "/a_/b",
    "/a\\/b",
    "/a\n/b",
    "/x' OR '1'='1",
  ];
  await table.upsert(paths.map((p) => row(p, null, "x")));
  const having = async (where: string) => (await table.rowsWhere(where)).map((r) => r.path).sort();
  for (const path of paths) {
    expect(await having(`path = ${quote(path)}`)).toEqual([path]);
    expect(await having(inList("path", [path, "/none"]))).toEqual([path]);
    const folderOf = path.slice(0, path.lastIndexOf("/")) || "/";
    for (const f of [folderOf, path])
      expect(await having(under(f))).toEqual(paths.filter((p) => p !== f && isUnder(p, f)).sort());
  }
  expect(await having(under("/"))).toEqual([...paths].sort());
  expect(await having(inList("path", []))).toEqual([]);
  await table.delete(inList("path", ["/x' OR '1'='1"]));
  expect(await table.count()).toBe(paths.length - 1);
});

test("with a vector index nearly all of the true neighbours are found, with exact scores, new rows included", async () => {
  await using folder = await temporaryFolder();
  using table = await openTable(folder.path);
  const rng = new Rng("recall");
  const centres = Array.from({ length: 40 }, () => normal(rng));
  const near = (c: Float32Array) => c.map((v) => v + 0.5 * rng.normal());
  const rows = Array.from({ length: 4000 }, (_, i) => row(`/${i}`, near(centres[i % 40]!)));
  await table.upsert([...rows, row("/bad", null, "broken")]);
  await table.buildVectorIndex(rows.length);
  const late = row("/late", near(centres[0]!));
  await table.upsert([late]);
  await table.tidy(0);

  let hits = 0;
  for (const centre of centres.slice(0, 20)) {
    const query = near(centre);
    const exact = await table.nearest(query, { limit: 10, where: undefined, exact: true });
    const found = await table.nearest(query, { limit: 10, where: undefined, exact: false });
    const truth = [...rows, late].map((r) => 1 - cosine(query, r.vector!)).sort((a, b) => a - b);
    exact.forEach((e, i) => {
      expect(e.distance).toBeCloseTo(truth[i]!, 5);
    });
    const scores = new Map(exact.map((e) => [e.path, e.distance]));
    for (const f of found) {
      if (!scores.has(f.path)) continue;
      hits++;
      expect(f.distance).toBeCloseTo(scores.get(f.path)!, 5);
    }
  }
  expect(hits / 200).toBeGreaterThanOrEqual(0.95);
  const [found] = await table.nearest(late.vector!, { limit: 1, where: undefined, exact: false });
  expect(found!.path).toBe("/late");
});

test("beyond the limit for exact search an index trains one, keeps it current and still answers exactly in a folder", async () => {
  await using folder = await temporaryFolder();
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 300; i++) files[`pictures/${i % 3}/${i}.png`] = await patches(i, 4, 4);
  await put(folder.path, files);
  const dir = `${folder.path}/index`;
  await using index = await ImageIndex.open(dir, fakeEmbedder(), { exactPictures: 256 });
  await index.update(`${folder.path}/pictures`);
  expect(await index.stats()).toMatchObject({ images: 300, exact: false });
  await put(folder.path, { "pictures/3/new.png": await patches("new", 4, 4) });
  await index.update();
  expect((await readManifest(dir))!.trainedOn).toBe(300);
  const [first] = await index.search({ image: await patches("new", 4, 4), k: 1 });
  expect(first!.path).toBe(`${folder.path}/pictures/3/new.png`);
  expect(await index.search({ text: "red", folder: `${folder.path}/pictures/1`, k: 300 })).toHaveLength(100);
});
