import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CheckpointError } from "../core/errors.ts";
import { type Checkpoint, firstOf } from "./checkpoint.ts";
import { readRange, withFile } from "./file-range.node.ts";
import type { KeyMap } from "./key-map.ts";
import { detectLayout, type Layout, publishedStructure } from "./layouts.ts";
import { INDEX_FILE, openSafetensors, SINGLE_FILE } from "./safetensors.node.ts";
import { openSharded } from "./sharded.node.ts";
import { openTorchCheckpoint } from "./torch-checkpoint.node.ts";

const CONFIG_FILE = "config.json";
const MAX_CONFIG_BYTES = 1 << 20;
const TORCH_SINGLE_FILE = "pytorch_model.bin";
const TORCH_INDEX_FILE = "pytorch_model.bin.index.json";
/** What a library writes and looks for, in the order in which it does. */
const STANDARD_FILES = [SINGLE_FILE, INDEX_FILE, TORCH_SINGLE_FILE, TORCH_INDEX_FILE];
const TORCH_FILE = /\.(pth|pt|bin)$/;

/** A checkpoint with what is known about it. */
export interface OpenedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** How the file names its tensors; undefined when the names are none of the known layouts. */
  readonly layout: Layout | undefined;
  /** The layout's map to our names. */
  readonly keys: KeyMap | undefined;
  /** `config.json` beside the weights, parsed and not yet validated. */
  readonly config: unknown;
  /** Name of the published model with the same structure: the configuration to use where there is no `config.json`. */
  readonly published: string | undefined;
}

/**
 * Opens a model: a folder (safetensors or torch's `.bin`, sharded or not, or one `.pth`), a `.safetensors` file, an
 * index of shards, or a `.pth`, `.pt` or `.bin` of torch. Reads headers and `config.json` only. Throws a CheckpointError that says what was
 * looked for.
 */
export async function openCheckpoint(path: string): Promise<OpenedCheckpoint> {
  const isFolder = await isDirectory(path);
  const opened = await openWeights(await locateWeights(path));
  const checkpoint = withoutPrefix(opened, "module.");
  const layout = detectLayout(checkpoint.keys);
  return {
    checkpoint,
    layout,
    keys: layout?.keys,
    config: await readConfig(join(isFolder ? path : dirname(path), CONFIG_FILE)),
    published: publishedStructure(underOurNames(checkpoint, layout?.keys)),
  };
}

const isDirectory = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => fail(`${path}: does not exist`))).isDirectory();

/**
 * What {@link openCheckpoint} opens for a path: itself, or in a folder the one file of weights; a folder with safetensors
 * under the standard names stands for them. `apart` are names of files in the folder that are no weights of the model.
 */
export async function locateWeights(path: string, apart: readonly string[] = []): Promise<string> {
  return (await isDirectory(path)) ? weightsIn(path, apart) : path;
}

function openWeights(path: string): Promise<Checkpoint> {
  if (path.endsWith(".bin.index.json")) return openSharded(path, ".bin", openTorchCheckpoint);
  return TORCH_FILE.test(path) ? openTorchCheckpoint(path) : openSafetensors(path);
}

async function weightsIn(folder: string, apart: readonly string[]): Promise<string> {
  const files = (await readdir(folder)).filter((f) => !apart.includes(f));
  const name = chooseWeights(files, `${folder}: `);
  return name === SINGLE_FILE || name === INDEX_FILE ? folder : join(folder, name);
}

/**
 * Of the names of a folder's files the one that holds the weights, or the index of those that do. Throws a
 * CheckpointError, beginning with `where`, when there is none or several are possible.
 */
export function chooseWeights(files: readonly string[], where: string): string {
  const standard = STANDARD_FILES.find((name) => files.includes(name));
  if (standard !== undefined) return standard;
  const candidates = files.filter((f) => f.endsWith(".safetensors") || TORCH_FILE.test(f)).sort();
  if (candidates.length === 1) return candidates[0]!;
  return fail(
    candidates.length === 0
      ? `${where}expected ${SINGLE_FILE}, ${INDEX_FILE}, ${TORCH_INDEX_FILE} or a .pth file in this folder, found none`
      : `${where}several files of weights (${firstOf(candidates)}); give the path of the one that is meant`,
  );
}

/** Parallel training wrappers save every key under one prefix; without it the names are the published ones. */
function withoutPrefix(checkpoint: Checkpoint, prefix: string): Checkpoint {
  if (!checkpoint.keys.every((k) => k.startsWith(prefix))) return checkpoint;
  const tensors = new Map([...checkpoint.tensors].map(([k, t]) => [k.slice(prefix.length), t]));
  return { ...checkpoint, keys: [...tensors.keys()], tensors };
}

function underOurNames(checkpoint: Checkpoint, keys: KeyMap | undefined): Checkpoint["tensors"] {
  if (keys === undefined) return checkpoint.tensors;
  const out = new Map<string, NonNullable<ReturnType<Checkpoint["tensors"]["get"]>>>();
  for (const [fileKey, tensor] of checkpoint.tensors) {
    const to = keys.map(fileKey);
    if (to !== undefined && "key" in to && to.part === undefined) out.set(to.key, tensor);
  }
  return out;
}

/** The parsed file, or undefined when there is none. */
async function readConfig(path: string): Promise<unknown> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (!exists) return undefined;
  const text = await withFile(path, async (file, bytes) => {
    if (bytes > MAX_CONFIG_BYTES)
      fail(`${path}: ${bytes} bytes, a configuration has at most ${MAX_CONFIG_BYTES}`);
    return new TextDecoder().decode(await readRange(file, path, 0, bytes));
  });
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return fail(`${path}: expected JSON; the file is damaged, fetch it again`);
  }
}

function fail(message: string): never {
  throw new CheckpointError(message);
}
