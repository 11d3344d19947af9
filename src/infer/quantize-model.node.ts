import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { bytesOf } from "../core/array.ts";
import { UsageError } from "../core/errors.ts";
import { FolderLock, LockHeldError } from "../core/folder-lock.node.ts";
import type { QuantizedPrecision } from "../core/precisions.ts";
import { isChatConfig } from "../models/chat-config.ts";
import { isLanguageConfig } from "../models/language_models.ts";
import { Quantizer } from "../models/quantizer.ts";
import type { Fields } from "../models/unused-fields.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { PROMPT_FILES, TOKENIZER_FILES } from "../text/tokenizer.node.ts";
import { loadSource } from "../weights/checkpoint.ts";
import { readTensor } from "../weights/file-range.node.ts";
import { openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { copyFiles, writeModel } from "../weights/write-model.node.ts";
import { openModel } from "./load-model.node.ts";
import { placeFolder } from "./open-chat-model.node.ts";

export interface QuantizeOptions {
  /** Default "w8". */
  readonly precision?: QuantizedPrecision;
  /** Threads of the runtime; default: the physical cores. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Bytes that are written, of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface QuantizeSummary {
  readonly folder: string;
  readonly precision: QuantizedPrecision;
  /** Bytes of the tensors before and now. */
  readonly from: number;
  readonly to: number;
}

/** What belongs to a model beside its configuration and weights. */
const BESIDE = [
  ...TOKENIZER_FILES,
  ...PROMPT_FILES,
  ...["preprocessor_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE"],
];

/**
 * Writes a model quantised into a folder of its own, from which it is loaded in a fraction of the time and with the same
 * weights as with `precision`: of a chat model, a language model alone or InternVL-C, in any format that is read but GGUF.
 * Adapters are merged. Tensors have the names of the GitHub format. One weight at a time is in memory. The folder appears
 * when it is whole: until then it is FOLDER.partial, which another run after a kill begins anew. Throws a UsageError when
 * there is something in the folder, or the weights are quantised already.
 */
export async function quantizeModel(
  path: string,
  folder: string,
  { precision = "w8", threads, signal, onProgress = () => {} }: QuantizeOptions = {},
): Promise<QuantizeSummary> {
  if (path.endsWith(".gguf"))
    throw new UsageError(`${path}: a .gguf file is used as it is; name the folder of a published model`);
  await checkFree(folder);
  await using runtime = await createRuntime(threads === undefined ? {} : { threads });
  await using quantizer = new Quantizer(runtime);
  const { config, weights, from } = await place(path, precision, quantizer);
  const sizeOf = ({ dtype, shape }: TensorSource) => bytesOf(dtype, shape);
  const to = [...weights.values()].reduce((sum, source) => sum + sizeOf(source), 0);
  let done = 0;
  const watched = [...weights].map(([key, source]): [string, TensorSource] => {
    const load = async () => {
      signal?.throwIfAborted();
      const tensor = await loadSource(source, readTensor);
      done += sizeOf(source);
      onProgress(done, to);
      return tensor;
    };
    return [key, { dtype: source.dtype, shape: source.shape, load }];
  });
  const draft = `${resolve(folder)}.partial`;
  await mkdir(draft, { recursive: true });
  try {
    await using _lock = await FolderLock.acquire(draft);
    for (const name of await readdir(draft))
      if (!name.startsWith("lock")) await rm(join(draft, name), { recursive: true });
    await copyFiles(BESIDE, (await stat(path)).isDirectory() ? path : dirname(path), draft);
    await writeModel(draft, { ...config, precision }, new Map(watched));
  } catch (error) {
    // What another process is writing stays.
    if (!(error instanceof LockHeldError)) await rm(draft, { recursive: true, force: true });
    throw error;
  }
  await rmdir(folder).catch(() => {}); // an empty one; of any other the next line tells
  await rename(draft, folder);
  return { folder, precision, from, to };
}

async function checkFree(folder: string): Promise<void> {
  if (folder === "") throw new UsageError("quantize: the name of the folder is empty; give one");
  const first = await readdir(folder).then(
    ([name]) => name,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw new UsageError(`${folder}: expected a folder, or the name of one to be made (${error.code})`);
    },
  );
  if (first !== undefined)
    throw new UsageError(`${folder}: there is something in it (${first}); name a new folder`);
}

/** A model's configuration and its weights, quantised when they are loaded. */
async function place(path: string, precision: QuantizedPrecision, quantizer: Quantizer) {
  const placing = { precision, quantizer };
  const opened = await openCheckpoint(path);
  const config = (opened.config ?? {}) as Fields;
  if (config.precision !== undefined)
    throw new UsageError(
      `${path}: its weights are quantised already (${config.precision}); name the published model`,
    );
  const bytes = [...opened.checkpoint.tensors.values()].map(({ dtype, shape }) => bytesOf(dtype, shape));
  const from = bytes.reduce((sum, n) => sum + n, 0);
  if (isChatConfig(config) || isLanguageConfig(config))
    return { config: merged(config), weights: (await placeFolder(path, opened, placing)).weights, from };
  const { model, weights } = await openModel(path, placing);
  return { config: opened.config === undefined ? model.cfg : config, weights, from };
}

/** A configuration whose adapters, if it names any, are part of the weights. */
function merged(config: Fields): Fields {
  const ranks = ["use_llm_lora", "use_backbone_lora"].filter((name) => name in config);
  return { ...config, ...Object.fromEntries(ranks.map((name) => [name, 0])) };
}
