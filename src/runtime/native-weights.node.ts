import { type FileHandle, open } from "node:fs/promises";
import { bytesOf, type HostTensor, rawBytes } from "../core/array.ts";
import { DTYPES } from "../core/dtype.ts";
import { CheckpointError, RuntimeFailure } from "../core/errors.ts";
import { checkHost, loadChecked } from "./check-host.ts";
import { MappedFile } from "./mapped-file.node.ts";
import { copyIn, NativeBlock } from "./native-memory.node.ts";
import { NativeValue, type TensorMemory } from "./native-value.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import type { FileTensor, TensorSource, WeightSet } from "./runtime.ts";
import { SpillFile } from "./spill-file.node.ts";

/** How much of a file is read at once where it cannot be mapped. */
const CHUNK_BYTES = 4 << 20;

/** Tensors from this size on that were made for the set lie in a file where possible; smaller ones in memory. */
const SPILL_BYTES = 1 << 20;

/**
 * Weights as OrtValues: over mapped files where possible, otherwise in memory of our own. Sessions pack most weights in a
 * form that their kernels like and never look at these again: large ones that were made when they were loaded (quantised
 * ones) go to a temporary file, so that they need not be in memory twice.
 */
export class NativeWeights implements WeightSet {
  readonly values = new Map<string, NativeValue>();
  readonly #files: Map<string, MappedFile> = new Map();
  readonly #blocks: NativeBlock[] = [];
  #spill: SpillFile | undefined;
  #packed: Pointer = 0n;
  #sessions = 0;
  #disposed = false;

  private constructor(readonly memory: TensorMemory) {}

  /**
   * Throws one CheckpointError that lists every file that is missing or too short for its tensors, before anything
   * is mapped.
   */
  static async load(
    memory: TensorMemory,
    sources: ReadonlyMap<string, TensorSource>,
  ): Promise<NativeWeights> {
    await checkFiles(sources);
    const weights = new NativeWeights(memory);
    try {
      weights.#spill = await SpillFile.create(
        [...sources.values()].reduce((sum, s) => sum + spilledBytes(s), 0),
      );
      for (const [key, source] of sources) weights.values.set(key, await weights.#place(key, source));
      return weights;
    } catch (error) {
      weights[Symbol.dispose]();
      throw error;
    }
  }

  get keys(): ReadonlySet<string> {
    return new Set(this.values.keys());
  }

  /** Holds the set for a session; throws a RuntimeFailure once it is disposed of. */
  acquire(): void {
    if (this.#disposed) throw new RuntimeFailure("session: its WeightSet was disposed of already");
    this.#sessions++;
  }

  release(): void {
    this.#sessions--;
  }

  /** The weights as the kernels want them, shared by the sessions of this set. */
  get packed(): Pointer {
    if (this.#packed === 0n)
      this.#packed = this.memory.api.make("CreatePrepackedWeightsContainer", "sharing packed weights");
    return this.#packed;
  }

  /** Of what is not in a file, JavaScript holds no more than the one tensor that is being copied. */
  async #place(key: string, source: TensorSource): Promise<NativeValue> {
    if ("file" in source) return this.#fromFile(source);
    const where = `weights: ${key}`;
    if ("load" in source) {
      const host = await loadChecked(where, source);
      const address = spilledBytes(source) > 0 ? await this.#spill?.append(rawBytes(host)) : undefined;
      if (address === undefined) return this.#fromHost(host);
      return NativeValue.over(this.memory, address, host.dtype, host.shape);
    }
    checkHost(where, source);
    return this.#fromHost(source);
  }

  async #fromFile(source: FileTensor): Promise<NativeValue> {
    const { dtype, shape, offset } = source;
    const sizeBytes = bytesOf(dtype, shape);
    const file = this.#map(source.file);
    // Kernels may load whole elements: one that straddles its natural boundary is copied to where it does not.
    if (file !== undefined && offset % DTYPES[dtype].bytes === 0)
      return NativeValue.over(this.memory, file.at(offset, sizeBytes), dtype, shape);
    const block = this.#allocate(sizeBytes);
    await readInto(block.address, source.file, offset, sizeBytes);
    return NativeValue.over(this.memory, block.address, dtype, shape);
  }

  #fromHost(host: HostTensor): NativeValue {
    const block = this.#allocate(host.data.byteLength);
    copyIn(block.address, host.data);
    return NativeValue.over(this.memory, block.address, host.dtype, host.shape);
  }

  /** Takes the pages of files out of memory; those that are read come back by themselves. */
  letGo(): void {
    this.#spill?.letGo();
    for (const file of this.#files.values()) file.letGo();
  }

  /** Memory of our own: `AddInitializer` refuses what ONNX Runtime allocated itself. */
  #allocate(sizeBytes: number): NativeBlock {
    const block = new NativeBlock(sizeBytes);
    this.#blocks.push(block);
    return block;
  }

  #map(path: string): MappedFile | undefined {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = MappedFile.open(path);
    if (file !== undefined) this.#files.set(path, file);
    return file;
  }

  /** Throws a RuntimeFailure while sessions use the set: their kernels read from it. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    if (this.#sessions > 0)
      throw new RuntimeFailure(
        `weights: ${this.#sessions} session(s) still use this set; dispose of them first`,
      );
    this.#disposed = true;
    if (this.#packed !== 0n) this.memory.api.release("ReleasePrepackedWeightsContainer", this.#packed);
    for (const value of this.values.values()) value[Symbol.dispose]();
    for (const block of this.#blocks) block[Symbol.dispose]();
    for (const file of this.#files.values()) file[Symbol.dispose]();
    this.#spill?.[Symbol.dispose]();
  }
}

/** What a source takes in the file of made weights. */
function spilledBytes(source: TensorSource): number {
  const bytes = "load" in source ? bytesOf(source.dtype, source.shape) : 0;
  return bytes >= SPILL_BYTES ? SpillFile.room(bytes) : 0;
}

/** Every file must exist and be long enough. */
async function checkFiles(sources: ReadonlyMap<string, TensorSource>): Promise<void> {
  const needs = new Map<string, { bytes: number; key: string }>();
  const problems: string[] = [];
  for (const [key, source] of sources) {
    if (!("file" in source)) continue;
    const { file, offset, dtype, shape } = source;
    const end = offset + bytesOf(dtype, shape);
    if (!(Number.isSafeInteger(end) && offset >= 0 && shape.every((d) => Number.isInteger(d) && d >= 0)))
      problems.push(`${key}: offset ${offset} with ${dtype} [${shape}] is no byte range of ${file}`);
    else if (end > (needs.get(file)?.bytes ?? -1)) needs.set(file, { bytes: end, key });
  }
  for (const [file, { bytes, key }] of needs) {
    const problem = await shortfall(file, bytes, key);
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) throw new CheckpointError(`weights: ${problems.join("; ")}`);
}

async function shortfall(path: string, needed: number, key: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    return `cannot open ${path} (${(error as NodeJS.ErrnoException).code})`;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) return `${path} is not a file`;
    if (stat.size >= needed) return undefined;
    return `${path} is too short: ${key} ends at byte ${needed}, the file has ${stat.size}; it may be cut off, fetch it again`;
  } finally {
    await file.close();
  }
}

/** Fills native memory from a byte range of a file. */
async function readInto(to: Pointer, path: string, offset: number, sizeBytes: number): Promise<void> {
  const file = await open(path, "r");
  try {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes));
    for (let done = 0; done < sizeBytes; ) {
      const wanted = Math.min(chunk.length, sizeBytes - done);
      const { bytesRead } = await file.read(chunk, 0, wanted, offset + done);
      if (bytesRead === 0)
        throw new CheckpointError(`weights: ${path} ended at byte ${offset + done} of ${offset + sizeBytes}`);
      copyIn(to + BigInt(done), chunk.subarray(0, bytesRead));
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}
