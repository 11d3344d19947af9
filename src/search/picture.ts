import { createHash, hash } from "node:crypto";
import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { MediaError } from "../core/errors.ts";
import type { RgbImage } from "../vision/image.ts";
import { describeFileError, isFileError } from "./walk.ts";

/** A picture as an index takes it in. */
export interface LoadedPicture {
  /** Framed for the model: size × size. */
  readonly image: RgbImage;
  /** Upright size of the original in pixels; of a drawing (SVG), a size of its proportions. */
  readonly width: number;
  readonly height: number;
}

export interface LoadOptions {
  /** Side of the model's square input in pixels. */
  readonly size: number;
  /** Largest width × height that is decoded. */
  readonly maxPixels: number;
  readonly maxBytes: number;
}

/** Decodes a file's bytes. Throws a MediaError for what is no picture, is damaged or is over a limit. */
export type LoadPicture = (bytes: Uint8Array, options: LoadOptions) => Promise<LoadedPicture>;

/** Drawings are measured at this multiple of the model's size: their own units may be anything. */
const VECTOR_SCALE = 2;

/** The retrieval protocol: squashed to the model's square. */
export const loadPicture: LoadPicture = async (bytes, { size, maxPixels, maxBytes }) => {
  // The decoder is native code of several megabytes, which searching by text does without.
  const { openPicture } = await import("../vision/decode.node.ts");
  const { loadForModel } = await import("../vision/preprocess.node.ts");
  const limits = { maxPixels, maxBytes };
  const { width, height } = await openPicture(bytes, { ...limits, vectorSide: VECTOR_SCALE * size });
  return { image: await loadForModel(bytes, { size, framing: "squash", ...limits }), width, height };
};

export interface ReadFile {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly mtimeMs: number;
}

/**
 * Reads a regular file of at most `maxBytes`, and its size and time from before reading, so that a file that is
 * being written looks changed the next time. The last part of the path is not followed if it is a link, and a pipe
 * or device is not waited for: the folder may have changed since it was walked. Throws file errors and MediaError.
 */
export async function readRegularFile(path: string, maxBytes: number): Promise<ReadFile> {
  // The last two are missing on Windows, which has neither trap.
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  const file = await open(path, flags);
  try {
    const { size, mtimeMs, ...found } = await file.stat().then((s) => ({ ...s, isFile: s.isFile() }));
    if (!found.isFile) throw new MediaError("expected a file, found a folder, pipe or device; remove it");
    if (size > maxBytes)
      throw new MediaError(
        `expected at most ${maxBytes} bytes, found ${size}; shrink the file or raise maxBytes (internvl index --max-bytes)`,
      );
    const bytes = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return { bytes: bytes.subarray(0, filled), size, mtimeMs };
  } finally {
    await file.close();
  }
}

/**
 * The bytes of a picture file that the user names; links are followed. Throws a MediaError for what cannot be read.
 */
export async function readNamedFile(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    return (await readRegularFile(await realpath(path), maxBytes)).bytes;
  } catch (e) {
    if (!isFileError(e)) throw e;
    throw new MediaError(`${path}: expected a picture file, found that ${describeFileError(e)}`, {
      cause: e,
    });
  }
}

/** Above this size hashing in one go would hold up the event loop for more than a few milliseconds. */
const HASH_STEP_BYTES = 2 ** 22;

/** SHA-256 of a file's contents as hex: what "the same picture" means here. */
export async function contentHash(bytes: Uint8Array): Promise<string> {
  if (bytes.length <= HASH_STEP_BYTES) return hash("sha256", bytes, "hex");
  const hasher = createHash("sha256");
  for (let at = 0; at < bytes.length; at += HASH_STEP_BYTES) {
    hasher.update(bytes.subarray(at, at + HASH_STEP_BYTES));
    await new Promise(setImmediate);
  }
  return hasher.digest("hex");
}

const IN_MEMORY = "picture in memory: ";

/** What is wrong with the file at `path`, without saying again which file it is. */
export function reasonOf(path: string, { message }: Error): string {
  const prefix = [IN_MEMORY, `${path}: `].find((p) => message.startsWith(p)) ?? "";
  return message.slice(prefix.length);
}
