import { opendir, realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UsageError } from "../core/errors.ts";
import type { Row } from "./image-table.ts";
import { isUnder, under } from "./sql.ts";
import type { IndexedImage } from "./types.ts";
import { describeFileError, isFileError, type Problem } from "./walk.ts";

/** Absolute real paths of folders that can be indexed. Throws one UsageError for all that cannot. */
export async function checkFolders(folders: readonly string[], indexDir: string): Promise<string[]> {
  const own = await realpath(indexDir).catch(() => indexDir);
  const problems: string[] = [];
  const real: string[] = [];
  for (const folder of folders)
    try {
      const path = await realpath(folder);
      await (await opendir(path)).close();
      if (isUnder(path, own)) problems.push(`${folder} (it belongs to the index itself)`);
      real.push(path);
    } catch (e) {
      if (!isFileError(e)) throw e;
      problems.push(`${folder} (${describeFileError(e)})`);
    }
  if (problems.length > 0)
    throw new UsageError(
      `update: expected folders that can be read, found ${problems.join(", ")}; check the paths, or remove from the index what is gone for good`,
    );
  return real;
}

/**
 * Of an index's folders those that are at their place, and the others as problems: an unplugged disk must not keep the
 * rest from being updated. Throws a UsageError when none is there.
 */
export async function presentFolders(
  folders: readonly string[],
  indexDir: string,
): Promise<{ present: string[]; missing: Problem[] }> {
  const present: string[] = [];
  const missing: Problem[] = [];
  for (const path of folders)
    try {
      const real = await realpath(path);
      await (await opendir(real)).close();
      if (real === path) present.push(path);
      else missing.push({ path, reason: `it is now a link to ${real}` });
    } catch (e) {
      if (!isFileError(e)) throw e;
      missing.push({ path, reason: describeFileError(e) });
    }
  if (present.length === 0) await checkFolders(folders, indexDir);
  return { present, missing };
}

/** Without repetitions and folders inside others. */
export const outermost = (folders: readonly string[]): string[] =>
  [...new Set(folders)].filter((f, _, all) => !all.some((other) => other !== f && isUnder(f, other)));

/**
 * Whether an indexed path still leads to itself. It was real when it got into the index; a file, or a folder above it,
 * that has become a link since then must not be followed.
 */
export const isInPlace = async (path: string): Promise<boolean> =>
  (await realpath(path).catch(() => undefined)) === path;

/** The condition for rows below a folder as a user names it, through links too: paths in the index are real. */
export async function below(folder: string | undefined): Promise<string | undefined> {
  if (folder === undefined) return undefined;
  return under(await realpath(folder).catch(() => resolve(folder)));
}

/** A row as users see it; `folders` are the index's. */
export function toImage(row: Omit<Row, "vector" | "error">, folders: readonly string[]): IndexedImage {
  const around = folders.filter((f) => isUnder(row.path, f));
  return {
    path: row.path,
    folder: around.reduce((inner, f) => (f.length > inner.length ? f : inner), ""),
    width: row.width,
    height: row.height,
    sizeBytes: row.size,
    mtimeMs: row.mtime,
    contentHash: row.hash,
  };
}

/** Bytes of all files below a folder; 0 where there is none. Files that go meanwhile do not count. */
export async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop())
    try {
      for await (const entry of await opendir(next)) {
        const path = join(next, entry.name);
        if (entry.isDirectory()) folders.push(path);
        else bytes += (await stat(path).catch(() => undefined))?.size ?? 0;
      }
    } catch (e) {
      if (!isFileError(e)) throw e;
    }
  return bytes;
}
