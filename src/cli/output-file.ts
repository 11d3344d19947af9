import { rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError } from "../core/errors.ts";

/** Throws before the model has worked for nothing. `where` is the option or command that names the file. */
export async function checkOutput(where: string, file: string): Promise<void> {
  const folder = dirname(file);
  if (!(await stat(folder).catch(() => undefined))?.isDirectory())
    throw new UsageError(`${where} ${file}: expected the folder ${folder}, found none; make it first`);
  if ((await stat(file).catch(() => undefined))?.isDirectory())
    throw new UsageError(`${where} ${file}: expected the name of a file, found a folder; name a file in it`);
}

/** Replaces the file in one step: after a crash it is the old or the new one. */
export async function writeWhole(file: string, data: string | Uint8Array, mode = 0o666): Promise<void> {
  const draft = `${file}.${process.pid}.part`;
  try {
    await writeFile(draft, data, { mode });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
