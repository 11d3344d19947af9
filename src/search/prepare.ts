import { MediaError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { RgbImage } from "../vision/image.ts";
import type { Row } from "./image-table.ts";
import { contentHash, type LoadPicture, readRegularFile, reasonOf } from "./picture.ts";
import { describeFileError, type FoundFile, isFileError } from "./walk.ts";

/** A file on its way into the index. */
export type Prepared = Gone | Failed | Known | Picture;

export interface Gone {
  readonly kind: "gone";
  readonly path: string;
}
export interface Failed {
  readonly kind: "failed";
  readonly row: Row;
}
/** Its contents are probably in the index already, so it was not decoded. */
export interface Known {
  readonly kind: "known";
  readonly file: FoundFile;
  readonly hash: string;
}
/** To be embedded. */
export interface Picture {
  readonly kind: "picture";
  /** Without its vector. */
  readonly row: Row;
  readonly image: RgbImage;
}

export interface PrepareOptions {
  readonly embedder: Embedder;
  readonly load: LoadPicture;
  readonly limits: { readonly maxBytes: number; readonly maxPixels: number };
  /** Whether contents of this hash need not be decoded. */
  readonly isKnown: (hash: string) => boolean;
}

/** The time of files that have to be tried again: no file has it. */
const NO_TIME = -1;

/** Reads, hashes and decodes one file. Whatever is wrong with it becomes a row; only defects throw. */
export async function prepare(found: FoundFile, options: PrepareOptions): Promise<Prepared> {
  const { path } = found;
  const { embedder, load, limits } = options;
  let { size, mtimeMs } = found;
  let hash = "";
  const row = (facts: Partial<Row>): Row => ({
    ...{ path, size, mtime: mtimeMs, hash, width: 0, height: 0, error: null, vector: null },
    ...facts,
  });
  try {
    const file = await readRegularFile(path, limits.maxBytes);
    ({ size, mtimeMs } = file);
    hash = await contentHash(file.bytes);
    if (options.isKnown(hash)) return { kind: "known", file: { path, size, mtimeMs }, hash };
    const { image, width, height } = await load(file.bytes, { size: embedder.imageSize, ...limits });
    return { kind: "picture", row: row({ width, height }), image };
  } catch (e) {
    if (isFileError(e) && e.code === "ENOENT") return { kind: "gone", path };
    // What the system refuses today it may allow tomorrow, and nothing in the file's size or time will tell.
    if (isFileError(e)) return { kind: "failed", row: row({ mtime: NO_TIME, error: describeFileError(e) }) };
    if (e instanceof MediaError) return { kind: "failed", row: row({ error: reasonOf(path, e) }) };
    throw e;
  }
}
