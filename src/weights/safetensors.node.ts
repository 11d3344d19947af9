import { stat } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../core/errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readRange, readTensor, withFile } from "./file-range.node.ts";
import { headerLength, parseHeader, type SafetensorsHeader } from "./safetensors.ts";
import { openSharded } from "./sharded.node.ts";

export const SINGLE_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

/**
 * Opens safetensors: a `.safetensors` file, an index `….safetensors.index.json` with its shards beside it, or a folder
 * that holds one of the two under the standard name. Reads headers only. Throws a CheckpointError when a file is
 * missing, truncated or lying, or when the index and its shards disagree.
 */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const file = await locate(path);
  return file.endsWith(".json") ? openSharded(file, ".safetensors", openFile) : openFile(file);
}

async function openFile(file: string): Promise<Checkpoint> {
  const { entries, metadata } = await readSafetensorsHeader(file);
  const tensors = new Map(
    entries.map(({ key, dtype, shape, begin }) => [key, { dtype, shape, file, offset: begin }]),
  );
  return { name: file, keys: [...tensors.keys()], tensors, metadata, read: readTensor };
}

/** Header of one `.safetensors` file, checked against the file's size. */
export function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, async (file, bytes) => {
    const length = headerLength(path, await readRange(file, path, 0, Math.min(8, bytes)), bytes);
    return parseHeader(path, await readRange(file, path, 8, length), bytes);
  });
}

/** The file to open for a path that may be a folder. */
async function locate(path: string): Promise<string> {
  const isFolder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  if (!isFolder) return path;
  const candidates = [join(path, SINGLE_FILE), join(path, INDEX_FILE)];
  const found: string[] = [];
  for (const c of candidates)
    if (
      await stat(c).then(
        () => true,
        () => false,
      )
    )
      found.push(c);
  if (found.length === 1) return found[0]!;
  throw new CheckpointError(
    found.length === 0
      ? `${path}: expected ${SINGLE_FILE} or ${INDEX_FILE} in this folder, found neither; give the path of the file`
      : `${path}: holds both ${SINGLE_FILE} and ${INDEX_FILE}; give the path of the one that is meant`,
  );
}
