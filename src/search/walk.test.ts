import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { put } from "./test-support.ts";
import { type Problem, walk } from "./walk.ts";

async function names(root: string, options: Parameters<typeof walk>[1] = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const file of walk(root, options)) found.push(file.path.slice(root.length + 1));
  return found.sort();
}

test("picture files of all depths, with size and time; nothing hidden, skipped, linked or irregular", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, {
    "a.JPG": "12345",
    "b/c/d/e.webp": "1",
    "b/f.svgz": "1",
    "b/g.txt": "1",
    "b/jpg": "1",
    ".thumbnails/h.png": "1",
    "@eaDir/i.png": "1",
    "left-out/j.png": "1",
  });
  await mkdir(join(folder.path, "folder.png"));
  await symlink(folder.path, join(folder.path, "b/loop"));
  await symlink(join(folder.path, "a.JPG"), join(folder.path, "link.jpg"));
  await promisify(execFile)("mkfifo", [join(folder.path, "pipe.png")]);
  const skip = new Set([join(folder.path, "left-out")]);
  expect(await names(folder.path, { skip })).toEqual(["a.JPG", "b/c/d/e.webp", "b/f.svgz"]);
  expect(await names(folder.path, { skip, extensions: new Set([".txt"]) })).toEqual(["b/g.txt"]);
  for await (const file of walk(folder.path, { skip }))
    if (file.path.endsWith("a.JPG")) expect(file).toMatchObject({ size: 5, mtimeMs: expect.any(Number) });
});

test("flat folders are looked at in pieces, and nothing is lost between them", async () => {
  await using folder = await temporaryFolder();
  await Promise.all(Array.from({ length: 700 }, (_, i) => writeFile(join(folder.path, `${i}.png`), "")));
  expect(new Set(await names(folder.path)).size).toBe(700);
});

test("what cannot be looked at is reported, and the rest goes on", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { "a.png": "1", file: "1" });
  // A name in Latin-1: legal on most file systems, but no text in UTF-8.
  await writeFile(
    Buffer.concat([Buffer.from(`${folder.path}/caf`), Buffer.from([0xe9]), Buffer.from(".png")]),
    "1",
  );
  const files: Problem[] = [];
  const folders: Problem[] = [];
  const options = {
    onUnreadableFile: (p: Problem) => files.push(p),
    onUnreadableFolder: (p: Problem) => folders.push(p),
  };
  expect(await names(folder.path, options)).toEqual(["a.png"]);
  expect(files).toEqual([
    { path: join(folder.path, "caf\uFFFD.png"), reason: expect.stringMatching(/UTF-8.*rename/) },
  ]);
  expect(folders).toEqual([]);
  expect(await names(join(folder.path, "file"), options)).toEqual([]);
  expect(await names(join(folder.path, "none"), options)).toEqual([]);
  expect(folders.map((f) => f.reason)).toEqual(["it is not a folder", "it does not exist"]);
});

test("a signal ends the walk with its reason", async () => {
  await using folder = await temporaryFolder();
  await put(folder.path, { "a.png": "1" });
  await expect(names(folder.path, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
});
