import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { readClassFolder } from "./class-folder.node.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "classes-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function touch(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), "");
  }
}

test("classes and pictures in a fixed order, others listed", async () => {
  touch(
    "zebra/2.PNG",
    "zebra/1.jpeg",
    "Ant/deep/er/x.webp",
    "Ant/notes.txt",
    ".git/y.png",
    "Ant/.hidden.png",
    "README",
  );
  symlinkSync(join(dir, "zebra"), join(dir, "Ant", "loop"));
  const { classes, items, skipped } = await readClassFolder(dir);
  expect(classes).toEqual(["Ant", "zebra"]);
  expect(items).toEqual([
    { path: join(dir, "Ant/deep/er/x.webp"), label: 0 },
    { path: join(dir, "zebra/1.jpeg"), label: 1 },
    { path: join(dir, "zebra/2.PNG"), label: 1 },
  ]);
  expect(skipped).toEqual([join(dir, "README"), join(dir, "Ant/loop"), join(dir, "Ant/notes.txt")]);
});

test("names all classes without pictures", async () => {
  touch("a/1.png", "b/x.txt", "c/y.txt");
  await expect(readClassFolder(dir)).rejects.toThrow(/found none in b, c; fill or remove/);
});

test("a folder of pictures is not a folder of classes, and a missing one is said to be missing", async () => {
  touch("1.png");
  await expect(readClassFolder(dir)).rejects.toThrow(/expected a folder per class/);
  await expect(readClassFolder(join(dir, "no"))).rejects.toThrow(ConfigError);
});
