import { stat } from "node:fs/promises";
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
