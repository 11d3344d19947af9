import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { PICTURE_EXTENSIONS } from "../vision/sniff.ts";

export interface ClassFolder {
  /** Names of the folders, sorted by code point; the label is the index. */
  readonly classes: readonly string[];
  /** Sorted by label, then by path. */
  readonly items: readonly ClassItem[];
  /** Paths of files that are no pictures by their ending, or that lie beside the class folders. */
  readonly skipped: readonly string[];
}

export interface ClassItem {
  readonly path: string;
  readonly label: number;
}

/**
 * A data set laid out as one folder per class, each with pictures at any depth. Hidden entries are ignored. Symbolic
 * links are not followed: they could lead in circles or elsewhere. Throws a ConfigError when `dir` is not readable, or
 * for classes without a single picture.
 */
export async function readClassFolder(dir: string): Promise<ClassFolder> {
  const entries = await list(dir);
  const classes = entries.filter((e) => e.isDirectory()).map((e) => e.name);
  const skipped = entries.filter((e) => !e.isDirectory()).map((e) => join(dir, e.name));
  if (classes.length === 0)
    throw new ConfigError(`${dir}: expected a folder per class, found no folder; give the folder above`);
  const items: ClassItem[] = [];
  const empty: string[] = [];
  for (const [label, name] of classes.entries()) {
    const before = items.length;
    for await (const path of walk(join(dir, name)))
      if (PICTURE_EXTENSIONS.has(extname(path).toLowerCase())) items.push({ path, label });
      else skipped.push(path);
    if (items.length === before) empty.push(name);
  }
  if (empty.length > 0)
    throw new ConfigError(
      `${dir}: expected pictures in every class folder, found none in ${empty.slice(0, 20).join(", ")}${empty.length > 20 ? ` and ${empty.length - 20} more` : ""}; fill or remove them`,
    );
  return { classes, items, skipped };
}

async function* walk(dir: string): AsyncGenerator<string> {
  for (const entry of await list(dir)) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}

/** Visible entries in code point order: the same on every machine and in every locale. */
async function list(dir: string): Promise<Dirent[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((e: Error) => {
    throw new ConfigError(`${dir}: expected a readable folder, found ${e.message}; check the path`, {
      cause: e,
    });
  });
  return entries
    .filter((e) => !e.name.startsWith("."))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
