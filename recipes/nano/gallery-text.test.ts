import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { type GalleryPicture, licencesText, readmeText } from "./gallery-text.ts";
import { type SourceKey, sourceOf } from "./sources.ts";

function picture(path: string, key: SourceKey, split: string, author = ""): GalleryPicture {
  return { path, id: path, split, source: sourceOf(key), author };
}

const pictures = [
  picture("animals/lion.webp", "fluent-3d", "train"),
  picture("animals/fox.webp", "fluent-3d", "heldout-concepts"),
  picture("food/lime.webp", "openclipart", "heldout-drawings", "Jo <b>\nDoe"),
];

it("names every picture, its source's notice and its author", () => {
  const text = licencesText(pictures);
  for (const { path } of pictures) expect(text).toContain(`\`${path}\``);
  expect(text).toContain("Copyright (c) Microsoft Corporation.");
  expect(text).toContain("- `food/lime.webp`: Jo b Doe\n");
});

it("refuses a source whose terms are not written down", () => {
  expect(() => licencesText([picture("a.webp", "twemoji", "train")])).toThrow(ConfigError);
});

it("says what was seen in training", () => {
  const text = readmeText(pictures);
  expect(text).toContain("67 % of the pictures were held out");
  expect(text).toMatch(/### Trained\n\n`animals\/lion`\n/);
});

it("chooses at least 300 pictures, each once, under plain file names", async () => {
  const path = join(import.meta.dirname, "gallery.json");
  const choice = JSON.parse(await readFile(path, "utf8")) as Record<string, string>;
  const names = Object.keys(choice);
  expect(names.length).toBeGreaterThanOrEqual(300);
  expect(new Set(Object.values(choice)).size).toBe(names.length);
  expect(names.filter((name) => !/^[a-z-]+\/[a-z0-9-]+$/.test(name))).toEqual([]);
});
