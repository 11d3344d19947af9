import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { type Checkpoint, firstOf } from "./checkpoint.ts";
import { readRange, readTensor, withFile } from "./file-range.node.ts";
import { duplicateKey } from "./json-keys.ts";
import { MAX_HEADER_BYTES } from "./safetensors.ts";

/**
 * Opens an index of shards: JSON with a `weight_map` from keys to files of the same folder, whose names end in
 * `extension` and which `openShard` opens. Throws a CheckpointError when the index is damaged or names other files,
 * when shards cannot be read (all that cannot, in one), or when they and the index disagree.
 */
export async function openSharded(
  path: string,
  extension: string,
  openShard: (file: string) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  const weightMap = await readIndex(path, extension);
  const folder = dirname(path);
  const shards = shardsOf(weightMap);
  const held = new Map<string, TensorSource>();
  const problems: string[] = [];
  const damaged: string[] = [];
  const metadata: Record<string, string> = {};
  for (const shard of shards) {
    const opened = await openShard(join(folder, shard)).catch((error: unknown) => {
      if (!(error instanceof CheckpointError)) throw error;
      damaged.push(error.message);
    });
    if (opened === undefined) continue;
    Object.assign(metadata, opened.metadata);
    for (const [key, tensor] of opened.tensors) {
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
  return { name: path, keys: [...ordered.keys()], tensors: ordered, metadata, read: readTensor };
}

/** Names of the files that an index names, all plain ones that end in `extension`. Throws as {@link openSharded}. */
export const readShards = async (path: string, extension: string): Promise<string[]> =>
  shardsOf(await readIndex(path, extension));

const shardsOf = (weightMap: ReadonlyMap<string, string>): string[] =>
  [...new Set(weightMap.values())].sort();

/** `weight_map` of an index: key -> name of a file in the same folder. */
async function readIndex(path: string, extension: string): Promise<Map<string, string>> {
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
  const bad = Object.entries(map).filter(([, file]) => !isSibling(file, extension));
  if (bad.length > 0)
    throw new CheckpointError(
      `${path}: shards must be ${extension} files in the index's own folder, found ${firstOf(bad.map(([k, f]) => `${k}: ${JSON.stringify(f)}`))}`,
    );
  return new Map(Object.entries(map as Record<string, string>));
}

/**
 * A plain file name. An index comes from outside and must not make us read elsewhere; symbolic links are followed,
 * because download caches put links in place of files.
 */
const isSibling = (file: unknown, extension: string): boolean =>
  typeof file === "string" && file.endsWith(extension) && !/[/\\:\0]/.test(file) && basename(file) === file;
