import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { splitLines } from "./lines.ts";
import { formatManifestLine, type ManifestItem, type ManifestLine, parseManifest } from "./manifest.ts";

export interface ReadManifestOptions {
  /** Take absolute paths and paths that leave the manifest's folder. Default false. */
  readonly absolutePaths?: boolean;
  /** Only items of this split, e.g. "train". Default: all. */
  readonly split?: string;
}

/**
 * Streams the items of a manifest file. The paths are checked as text: a symbolic link inside the folder is followed,
 * since who can make one there can also put any picture there. Throws a ConfigError, see {@link parseManifest}.
 */
export async function* streamManifest(
  file: string,
  options: ReadManifestOptions = {},
): AsyncGenerator<ManifestItem> {
  const folder = dirname(resolve(file));
  const items = parseManifest(streamLines(file), {
    name: file,
    resolve: (image) => resolve(folder, image),
    absolutePaths: options.absolutePaths ?? false,
  });
  for await (const item of items) if (options.split === undefined || item.split === options.split) yield item;
}

/** All items of a manifest file. Throws a ConfigError, also when `split` leaves none. */
export async function readManifest(file: string, options: ReadManifestOptions = {}): Promise<ManifestItem[]> {
  const items: ManifestItem[] = [];
  for await (const item of streamManifest(file, options)) items.push(item);
  if (items.length === 0)
    throw new ConfigError(`${file}: expected pictures of the split "${options.split}", found none`);
  return items;
}

/** Writes a manifest, whole or not at all: into a neighbouring file that then takes the name. */
export async function writeManifest(
  file: string,
  lines: Iterable<ManifestLine> | AsyncIterable<ManifestLine>,
): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    const handle = await open(partial, "w");
    try {
      for await (const line of lines) await handle.appendFile(`${formatManifestLine(line)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  } catch (e) {
    await rm(partial, { force: true });
    throw e;
  }
}

/** The lines of a text file. Throws a ConfigError when it cannot be read, see {@link splitLines}. */
export const streamLines = (file: string): AsyncGenerator<string> => splitLines(file, readChunks(file));

async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file) as AsyncIterable<Uint8Array>;
  } catch (e) {
    throw new ConfigError(
      `${file}: expected a readable file, found ${(e as Error).message}; check the path`,
      { cause: e },
    );
  }
}
