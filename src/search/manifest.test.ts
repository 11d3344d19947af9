import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { ConfigError } from "../core/errors.ts";
import { type Manifest, nextTable, readManifest, writeManifest } from "./manifest.ts";

const manifest: Manifest = {
  ...{ format: 1, model: "m", dimension: 3, table: "images-1", folders: ["/a\n'b"], trainedOn: 0 },
};

test("written whole, read back, nothing left beside", async () => {
  await using folder = await temporaryFolder();
  expect(await readManifest(folder.path)).toBeUndefined();
  await writeManifest(folder.path, manifest);
  await writeManifest(folder.path, { ...manifest, trainedOn: 5 });
  expect(await readManifest(folder.path)).toEqual({ ...manifest, trainedOn: 5 });
  expect(await readdir(folder.path)).toEqual(["index.json"]);
  await mkdir(join(folder.path, "x/index.json"), { recursive: true });
  await expect(writeManifest(join(folder.path, "x"), manifest)).rejects.toThrow();
  expect(await readdir(join(folder.path, "x"))).toEqual(["index.json"]);
});

test("anything else is refused with the reason", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "index.json");
  const cases: [string, RegExp][] = [
    ["{", /no JSON/],
    [JSON.stringify({ ...manifest, format: 2 }), /format/],
    [JSON.stringify({ ...manifest, table: "../../etc" }), /table/],
    [JSON.stringify({ ...manifest, more: 1 }), /more/],
  ];
  for (const [text, reason] of cases) {
    await writeFile(file, text);
    await expect(readManifest(folder.path)).rejects.toThrow(ConfigError);
    await expect(readManifest(folder.path)).rejects.toThrow(reason);
  }
  await expect(readManifest(file)).rejects.toThrow(/ENOTDIR/);
});

test("tables are numbered", () => {
  expect(nextTable("images-9")).toBe("images-10");
});
