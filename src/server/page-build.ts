import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../core/errors.ts";

/** Holds the fingerprint of the sources that a built page was made from. */
const STAMP = "sources.txt";

/**
 * Builds `root`/src/web into `dir` unless it is there and up to date. Two processes may do so at once: each builds
 * in a folder of its own, and whoever is last puts the same page in place again.
 */
export async function buildPage(root: string, dir: string): Promise<void> {
  const fingerprint = await sourcesFingerprint(root);
  if ((await readFile(join(dir, STAMP), "utf8").catch(() => "")) === fingerprint) return;
  const { build } = await import("vite").catch(() => {
    throw new UsageError(`${root}: building the page needs the development dependencies; run npm ci`);
  });
  await mkdir(join(root, "dist"), { recursive: true });
  const scratch = await mkdtemp(join(root, "dist", ".web-"));
  try {
    await build({
      configFile: join(root, "vite.config.ts"),
      root: join(root, "src", "web"),
      logLevel: "error",
      build: { outDir: scratch, emptyOutDir: true },
    });
    await writeFile(join(scratch, STAMP), fingerprint);
    await replaceFolder(scratch, dir);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Renames `from` to `to`, which may exist. */
async function replaceFolder(from: string, to: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const old = `${from}-old-${attempt}`;
    if (existsSync(to)) await rename(to, old).catch(() => {});
    try {
      await rename(from, to);
      return;
    } catch (error) {
      // Another process put its folder there in between.
      if (attempt === 4) throw error;
    } finally {
      await rm(old, { recursive: true, force: true });
    }
  }
}

/** The rooms of src/ that the page is made from: its own, and those that know what pictures and answers mean. */
const ROOMS = ["core", "text", "vision", "web"];

/** A hash of everything the page is made from: file times do not survive a checkout. */
async function sourcesFingerprint(root: string): Promise<string> {
  const names: string[] = [join(root, "vite.config.ts")];
  for (const room of ROOMS) {
    const dir = join(root, "src", room);
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
      if (entry.isFile() && !/\.(test|node|fixture)\.ts$/.test(entry.name))
        names.push(join(entry.parentPath, entry.name));
  }
  const hash = createHash("sha256");
  for (const name of names.sort()) {
    const text = await readFile(name);
    hash.update(`${name.slice(root.length)}\0${text.length}\0`).update(text);
  }
  return hash.digest("hex");
}
