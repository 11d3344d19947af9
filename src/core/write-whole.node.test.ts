import { mkdir, mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeWhole } from "./write-whole.node.ts";

test("a file is replaced, with the mode that is asked for, and nothing is left beside it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "internvl-whole-"));
  const file = join(folder, "a.txt");
  await writeFile(file, "old");
  await writeWhole(file, "new", 0o600);
  expect(await readFile(file, "utf8")).toBe("new");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await writeWhole(file, Uint8Array.of(104, 105));
  expect(await readFile(file, "utf8")).toBe("hi");
  expect(await readdir(folder)).toEqual(["a.txt"]);
});

test("what cannot be written leaves no draft", async () => {
  const folder = await mkdtemp(join(tmpdir(), "internvl-whole-"));
  await mkdir(join(folder, "taken", "by a folder"), { recursive: true });
  await expect(writeWhole(join(folder, "taken"), "x")).rejects.toThrow();
  await expect(writeWhole(join(folder, "none", "x"), "x")).rejects.toThrow("ENOENT");
  expect(await readdir(folder)).toEqual(["taken"]);
});
