import { expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import {
  allCaptions,
  formatManifestLine,
  type ManifestItem,
  parseManifest,
  staysInside,
} from "./manifest.ts";

async function parse(lines: readonly unknown[], absolutePaths = false): Promise<ManifestItem[]> {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
  const items: ManifestItem[] = [];
  const options = { name: "cats.jsonl", resolve: (p: string) => `/data/${p}`, absolutePaths };
  for await (const item of parseManifest(text, options)) items.push(item);
  return items;
}

test("reads captions with and without languages, and the defaults", async () => {
  const [plain, full] = await parse([
    { image: "a.png", captions: ["a cat", "cat"] },
    "",
    {
      image: "b/c.webp",
      captions: { en: ["dog"], "pt-BR": ["cachorro", "cão"] },
      group: "dog",
      split: "heldout-concepts",
      weight: 0.5,
      source: "somewhere",
      licence: "CC0-1.0",
    },
  ]);
  expect(plain).toEqual({
    image: "a.png",
    path: "/data/a.png",
    captions: { und: ["a cat", "cat"] },
    split: "train",
    weight: 1,
  });
  expect(full).toEqual({
    image: "b/c.webp",
    path: "/data/b/c.webp",
    captions: { en: ["dog"], "pt-BR": ["cachorro", "cão"] },
    group: "dog",
    split: "heldout-concepts",
    weight: 0.5,
  });
  expect(allCaptions(full!)).toEqual(["dog", "cachorro", "cão"]);
});

test("names every wrong line and what is wrong with it, in one error", async () => {
  const error = await parse([
    { image: "a.png", captions: ["fine"] },
    "{ not json",
    { image: "b.png" },
    { image: "c.png", captions: [] },
    { image: "d.png", captions: { en: ["ok", ""] } },
    { image: "e.png", captions: {} },
    { image: "f.png", captions: ["x"], grup: "typo" },
    { image: "g.png", captions: ["x"], split: "test" },
    { image: "h.png", captions: ["x"], weight: -1 },
    { image: "../i.png", captions: ["x"] },
    { image: "j.png", captions: 7 },
    [],
  ]).catch((e: unknown) => e as Error);
  expect(error).toBeInstanceOf(ConfigError);
  const message = (error as Error).message;
  expect(message).toMatch(/^cats\.jsonl: expected one picture a line/);
  const expected: [line: number, what: RegExp][] = [
    [2, /expected JSON/],
    [3, /captions: expected a list of texts, or lists by language, found nothing/],
    [4, /captions: the list of captions is empty/],
    [5, /captions.en.1: a caption is empty/],
    [6, /captions: expected at least one language/],
    [7, /grup/],
    [8, /split: expected "train" or "heldout-…"/],
    [9, /weight/],
    [10, /image: expected a path inside the manifest's folder, found "\.\.\/i\.png"/],
    [11, /captions: expected a list of texts, or lists by language, found 7/],
    [12, /the line/],
  ];
  for (const [line, what] of expected)
    expect(message.split("\n").find((l) => l.startsWith(`  line ${line}: `))).toMatch(what);
  expect(message).not.toContain("line 1:");
});

test("stops after twenty wrong lines", async () => {
  const error = await parse(new Array(50).fill("{}")).catch((e: unknown) => e as Error);
  expect((error as Error).message).toContain("the first 20 wrong lines");
  expect((error as Error).message).toContain("line 20:");
  expect((error as Error).message).not.toContain("line 21:");
});

test("an empty manifest is an error", async () => {
  await expect(parse(["", " "])).rejects.toThrow(/cats\.jsonl: expected at least one line/);
});

test.each(["a.png", "a/../b.png", "./a.png", "a//b.png", "..a/b.png"])("%s stays inside", (path) => {
  expect(staysInside(path)).toBe(true);
});

test.each([
  "/etc/passwd",
  "..",
  "a/../../b.png",
  "..\\b.png",
  "\\\\server\\share\\a.png",
  "C:\\a.png",
  "C:a.png",
  "file:///a.png",
  "http://example.org/a.png",
  "a\0.png",
  ".",
  "a/..",
])("%j does not stay inside", (path) => {
  expect(staysInside(path)).toBe(false);
});

test("paths may leave the folder where that is allowed", async () => {
  const [item] = await parse([{ image: "../x.png", captions: ["x"] }], true);
  expect(item!.path).toBe("/data/../x.png");
});

test("what is written is read back, and what would not be is refused", async () => {
  const line = { image: "a.png", captions: { de: ['"Anführung"\nund Umbruch'] }, group: "g", weight: 2 };
  const [item] = await parse([formatManifestLine(line)]);
  expect(item).toMatchObject({ image: "a.png", captions: line.captions, group: "g", weight: 2 });
  expect(() => formatManifestLine({ image: "a.png", captions: [] })).toThrow(ConfigError);
});
