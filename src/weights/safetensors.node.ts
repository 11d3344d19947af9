import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor } from "../runtime/runtime.ts";
import { type Checkpoint, firstOf } from "./checkpoint.ts";
import { readRange, readTensor, withFile } from "./file-range.node.ts";
import { duplicateKey } from "./json-keys.ts";
import { headerLength, MAX_HEADER_BYTES, parseHeader, type SafetensorsHeader } from "./safetensors.ts";

export const SINGLE_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

/**
 * Opens safetensors: a `.safetensors` file, an index `….safetensors.index.json` with its shards beside it, or a folder
 * that holds one of the two under the standard name. Reads headers only. Throws a CheckpointError when a file is
 * missing, truncated or lying, or when the index and its shards disagree.
 */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const file = await locate(path);
  if (file.endsWith(".json")) return openIndex(file);
  const header = await readSafetensorsHeader(file);
  return checkpoint(file, fileTensors(file, header), header.metadata);
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

async function openIndex(path: string): Promise<Checkpoint> {
  const weightMap = await readIndex(path);
  const folder = dirname(path);
  const shards = [...new Set(weightMap.values())].sort();
  const held = new Map<string, FileTensor>();
  const problems: string[] = [];
  const damaged: string[] = [];
  const metadata: Record<string, string> = {};
  for (const shard of shards) {
    const file = join(folder, shard);
    const header = await readSafetensorsHeader(file).catch((error: unknown) => {
      if (!(error instanceof CheckpointError)) throw error;
      damaged.push(error.message);
    });
    if (header === undefined) continue;
    Object.assign(metadata, header.metadata);
    for (const [key, tensor] of fileTensors(file, header)) {
      const owner = weightMap.get(key);
      if (owner === shard) held.set(key, tensor);
      else problems.push(`${key} is in ${shard}, the index says ${owner ?? "nothing"}`);
    }
  }
  if (damaged.length > 0)
    throw new CheckpointError(
      `${path}: ${damaged.length} of ${shards.length} shards cannot be read (${firstOf(damaged)}); fetch them again`,
    );
  for (const [key, shard] of weightMap)
    if (!held.has(key)) problems.push(`${key} is not in ${shard}, where the index says it is`);
  if (problems.length > 0)
    throw new CheckpointError(
      `${path}: ${problems.length} tensors are not where the index says (${firstOf(problems)}); fetch the folder again`,
    );
  const ordered = new Map([...weightMap.keys()].map((key) => [key, held.get(key)!]));
  return checkpoint(path, ordered, metadata);
}

/** `weight_map` of an index: key -> name of a file in the same folder. */
async function readIndex(path: string): Promise<Map<string, string>> {
  const text = await withFile(path, async (file, bytes) => {
    if (bytes > MAX_HEADER_BYTES)
      throw new CheckpointError(`${path}: ${bytes} bytes, an index has at most ${MAX_HEADER_BYTES}`);
    return new TextDecoder().decode(await readRange(file, path, 0, bytes));
  });
  let index: { readonly weight_map?: unknown } | null;
  try {
    index = JSON.parse(text) as typeof index;
  } catch (cause) {
    throw new CheckpointError(`${path}: expected JSON; the file is damaged, fetch it again`, { cause });
  }
  const map = index?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map))
    throw new CheckpointError(`${path}: expected an object "weight_map" from keys to files, found none`);
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined)
    throw new CheckpointError(`${path}: names ${JSON.stringify(duplicate)} twice; fetch it again`);
  const bad = Object.entries(map).filter(([, file]) => !isSibling(file));
  if (bad.length > 0)
    throw new CheckpointError(
      `${path}: shards must be .safetensors files in the index's own folder, found ${firstOf(bad.map(([k, f]) => `${k}: ${JSON.stringify(f)}`))}`,
    );
  return new Map(Object.entries(map as Record<string, string>));
}

/**
 * A plain file name. An index comes from outside and must not make us read elsewhere; symbolic links are followed,
 * because download caches put links in place of files.
 */
const isSibling = (file: unknown): boolean =>
  typeof file === "string" &&
  file.endsWith(".safetensors") &&
  !/[/\\:\0]/.test(file) &&
  basename(file) === file;

function fileTensors(file: string, header: SafetensorsHeader): Map<string, FileTensor> {
  return new Map(
    header.entries.map(({ key, dtype, shape, begin }) => [key, { dtype, shape, file, offset: begin }]),
  );
}

const checkpoint = (
  name: string,
  tensors: ReadonlyMap<string, FileTensor>,
  metadata: Readonly<Record<string, string>>,
): Checkpoint => ({ name, keys: [...tensors.keys()], tensors, metadata, read: readTensor });
