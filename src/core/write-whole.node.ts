import { open, rename, rm } from "node:fs/promises";

/** Writes a small file in one step: after a crash it is the old or the new one. */
export async function writeWhole(path: string, contents: string | Uint8Array, mode = 0o666): Promise<void> {
  const draft = `${path}.${process.pid}.partial`;
  try {
    const file = await open(draft, "w", mode);
    try {
      await file.writeFile(contents);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
