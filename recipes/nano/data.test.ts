import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { convertAll, imagePath, SIDE } from "./convert.ts";
import { archiveName, obtain } from "./download.ts";
import { makeManifest, trialConcepts, writeJsonl } from "./manifest.ts";
import type { Picture } from "./picture.ts";
import { SOURCES, type SourceKey, sourceOf } from "./sources.ts";
import type { Split } from "./split.ts";
import { summarise } from "./summary.ts";

const dir = await mkdtemp(join(tmpdir(), "nano-data-"));
afterAll(() => rm(dir, { recursive: true }));

function picture(id: string, input: Picture["input"], more: Partial<Picture> = {}): Picture {
  const captions = { en: [id], de: [id] };
  return {
    id,
    source: "openclipart",
    group: id,
    family: "openclipart",
    input,
    trim: false,
    captions,
    ...more,
  };
}

const square = (fill: string, at = 0, size = 40) => ({
  svg:
    `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">` +
    `<rect x="${at}" y="${at}" width="${size}" height="${size}" fill="${fill}"/></svg>`,
});

const pixel = async (id: string, x: number, y: number) => {
  const raw = await sharp(join(dir, imagePath(id)))
    .raw()
    .toBuffer();
  return [...raw.subarray((y * SIDE + x) * 3, (y * SIDE + x) * 3 + 3)];
};

it("converts to RGB on white, trims what is to be trimmed, refuses the blank and the broken", async () => {
  await writeFile(join(dir, "broken.png"), "not a picture");
  const corner = square("#f00", 4, 8);
  const pictures = [
    picture("red", square("#f00", 10, 20)),
    picture("trimmed", corner, { trim: true }),
    picture("untrimmed", corner),
    picture("blank", square("#fff")),
    picture("broken", { file: join(dir, "broken.png") }),
    picture("absent", { file: join(dir, "absent.png") }),
  ];
  const ticks: number[] = [];
  const results = await convertAll(pictures, dir, (done) => ticks.push(done));
  expect(ticks.at(-1)).toBe(pictures.length);
  const meta = await sharp(join(dir, imagePath("red"))).metadata();
  expect([meta.width, meta.height, meta.channels, meta.format]).toEqual([SIDE, SIDE, 3, "webp"]);
  const [middle, edge] = [SIDE / 2, 1];
  expect((await pixel("red", edge, edge)).every((v) => v > 250)).toBe(true);
  expect((await pixel("red", middle, middle))[1]).toBeLessThan(10);
  for (const [x, y] of [
    [6, 6],
    [middle, middle],
    [SIDE - 7, SIDE - 7],
  ] as const) {
    expect((await pixel("trimmed", x, y))[1], `${x},${y}`).toBeLessThan(100);
  }
  for (const at of [0, SIDE / 2, SIDE - 1]) {
    expect((await pixel("trimmed", at, 0))[1], `top ${at}`).toBeGreaterThan(235);
    expect((await pixel("trimmed", 0, at))[1], `left ${at}`).toBeGreaterThan(235);
    expect((await pixel("trimmed", SIDE - 1, at))[1], `right ${at}`).toBeGreaterThan(235);
  }
  expect((await pixel("untrimmed", middle, middle))[1]).toBeGreaterThan(245);
  expect(results.get("blank")!.refused).toBe("blank on white");
  expect(results.get("broken")!.refused).toMatch(/unsupported image format/);
  expect(results.get("absent")!.refused).toMatch(/ENOENT/);
});

it("goes on from a record whose last line was cut short", async () => {
  const record = (await readFile(join(dir, "converted-webp96-3.jsonl"), "utf8")).split("\n")[0]!;
  await writeFile(join(dir, "converted-webp96-3.jsonl"), `${record}\n{"id":"tri`);
  const seen: number[] = [];
  const again = await convertAll([picture("red", square("#f00", 10, 20))], dir, (done) => seen.push(done));
  expect(again.get(JSON.parse(record).id)).toEqual(JSON.parse(record));
  expect(again.get("red")!.refused).toBe("");
});

it("writes a line per picture, with its licence, and drops clip art that is there twice", () => {
  const pictures = [
    picture("a", square("#f00")),
    picture("b", square("#f00")),
    picture("c", square("#0f0"), { source: "noto", group: "emoji:1", family: "noto" }),
    picture("d", square("#00f")),
  ];
  const converted = new Map(
    ["a", "b", "c"].map((id) => [id, { id, pixels: id === "b" ? "a" : id, refused: "" }]),
  );
  const { lines, skipped } = makeManifest(pictures, converted, 1);
  expect(lines.map((l) => [l.image, l.licence])).toEqual([
    ["images/a.webp", "public domain"],
    ["images/c.webp", "Apache-2.0"],
  ]);
  expect(skipped.map((s) => s.reason)).toEqual(["the same pixels as a picture before", "not converted"]);
  const summary = summarise(lines, skipped, 3);
  expect(summary).toMatch(/\| openclipart \|.*\| 1 \| 2 \| public domain \|/);
  expect(summary).toContain("| de | 2 | 2 |");
});

it("writes JSON lines", async () => {
  await writeJsonl(join(dir, "lines.jsonl"), [{ a: 1 }, { b: "é" }]);
  expect(await readFile(join(dir, "lines.jsonl"), "utf8")).toBe('{"a":1}\n{"b":"é"}\n');
});

it("refuses an archive with other bytes than the pinned ones", async () => {
  const source = sourceOf("emojibase");
  await writeFile(join(dir, archiveName(source)), "something else");
  const attempt = obtain(source, dir, join(dir, "sources"));
  await expect(attempt).rejects.toThrow(ConfigError);
  await expect(attempt).rejects.toThrow(/emojibase-data-17\.0\.0\.tgz: expected .* found sha512-/);
});

it("pins every source by a digest of full length and says its licence", () => {
  expect(new Set(SOURCES.map((s) => s.key)).size).toBe(SOURCES.length);
  for (const source of SOURCES) {
    const digest = source.kind === "npm" ? source.integrity : source.sha256;
    expect(digest, source.key).toMatch(source.kind === "npm" ? /^sha512-.{86}==$/ : /^[0-9a-f]{64}$/);
    expect(source.licence, source.key).not.toBe("");
  }
  expect(archiveName(sourceOf("fluent-3d"))).toBe("lobehub-fluent-emoji-3d-1.1.0.tgz");
});

it("keeps one drawing style a hand and the crowded titles in the trial's concepts", () => {
  const line = (source: SourceKey, split: Split) => {
    return { image: `${source}-${split}`, captions: {}, group: "a", split, source, licence: "MIT" };
  };
  const lines = [
    line("noto", "heldout-concepts"),
    line("noto-v1", "heldout-concepts"),
    line("flag-icons", "heldout-concepts"),
    line("openclipart", "heldout-surplus"),
    line("tuxpaint", "train"),
    line("twemoji", "heldout-drawings"),
  ];
  expect(trialConcepts(lines)).toEqual([lines[0], lines[3]]);
});
