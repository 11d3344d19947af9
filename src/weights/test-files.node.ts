import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Path of a file that test/parity/make_torch_checkpoints.py has made. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

/** The first `bytes` bytes of a file as a new file, whose path is returned. */
export async function cut(source: string, bytes: number, folder: string): Promise<string> {
  const target = join(folder, `cut-${bytes}.bin`);
  await writeFile(target, (await readFile(source)).subarray(0, bytes));
  return target;
}
