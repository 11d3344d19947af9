import { readFile, stat } from "node:fs/promises";
import { ConfigError } from "../../src/core/errors.ts";

/** A file of an unpacked archive. Throws a ConfigError for one of more bytes than expected. */
export async function readAtMost(path: string, bytesMax: number): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > bytesMax) throw new ConfigError(`${path}: expected at most ${bytesMax} bytes, found ${size}`);
  return readFile(path);
}
