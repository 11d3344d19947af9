import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { splitLines } from "./lines.ts";
import { readManifest, writeManifest } from "./manifest.node.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "manifest-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

test("writes and reads a manifest, with paths beside it and a split of it", async () => {
  const file = join(dir, "all.jsonl");
  await writeManifest(file, [
    { image: "a.png", captions: ["eins", "Äpfel 🍎"] },
    { image: "b.png", captions: ["zwei"], split: "heldout-drawings" },
  ]);
  const items = await readManifest(file);
  expect(items.map((i) => i.path)).toEqual([join(dir, "a.png"), join(dir, "b.png")]);
  expect(items[0]!.captions).toEqual({ und: ["eins", "Äpfel 🍎"] });
  expect((await readManifest(file, { split: "heldout-drawings" })).map((i) => i.image)).toEqual(["b.png"]);
  await expect(readManifest(file, { split: "heldout-x" })).rejects.toThrow(/split "heldout-x", found none/);
});

test("a failed write leaves the old file and nothing else", async () => {
  const file = join(dir, "kept.jsonl");
  await writeManifest(file, [{ image: "a.png", captions: ["old"] }]);
  const before = readdirSync(dir);
  const lines = [
    { image: "a.png", captions: ["new"] },
    { image: "b.png", captions: [] },
  ];
  await expect(writeManifest(file, lines)).rejects.toThrow(ConfigError);
  expect(readdirSync(dir)).toEqual(before);
  expect((await readManifest(file))[0]!.captions).toEqual({ und: ["old"] });
});

test("a missing file is a ConfigError with its name", async () => {
  const error = await readManifest(join(dir, "none.jsonl")).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).toContain("none.jsonl: expected a readable file");
});

test("bytes that are not UTF-8 are refused", async () => {
  const file = join(dir, "latin1.jsonl");
  writeFileSync(file, Buffer.from('{"image":"a.png","captions":["caf\xe9"]}\n', "latin1"));
  await expect(readManifest(file)).rejects.toThrow(/latin1\.jsonl: expected UTF-8/);
});

async function linesOf(chunks: readonly Uint8Array[], maxBytes?: number): Promise<string[]> {
  async function* stream() {
    yield* chunks;
  }
  const lines: string[] = [];
  for await (const line of splitLines("f", stream(), maxBytes)) lines.push(line);
  return lines;
}

test("lines survive being cut anywhere, also inside a character", async () => {
  const bytes = Buffer.from("ä🍎\r\n\nzwei\nohne Ende");
  for (let cut = 0; cut <= bytes.length; cut++)
    expect(await linesOf([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual([
      "ä🍎",
      "",
      "zwei",
      "ohne Ende",
    ]);
  expect(await linesOf([Buffer.from("eins\n")])).toEqual(["eins"]);
});

test("a line without end does not fill the memory", async () => {
  await expect(linesOf(new Array(5).fill(Buffer.alloc(1000, "x")), 3000)).rejects.toThrow(
    /at most 3000 bytes/,
  );
});
