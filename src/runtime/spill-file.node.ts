import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MappedFile } from "./mapped-file.node.ts";
import type { Pointer } from "./ort-api.node.ts";

type FileHandle = Awaited<ReturnType<typeof open>>;

/** Start of what is appended: a cache line, as the kernels like it. */
const ALIGNMENT = 64;

/**
 * A temporary file that is written once and read where it is mapped: its pages need not stay in memory. It has no name,
 * so that nothing is left of it however the process ends.
 */
export class SpillFile implements Disposable {
  #end = 0;
  #isFull = false;

  private constructor(
    readonly file: FileHandle,
    readonly map: MappedFile,
  ) {}

  /** What `bytes` take in it. */
  static room(bytes: number): number {
    return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  }

  /** A file with room for so many bytes; undefined where the platform has none or none are wanted. */
  static async create(sizeBytes: number): Promise<SpillFile | undefined> {
    if (sizeBytes === 0 || process.platform === "win32") return undefined;
    const file = await nameless().catch(() => undefined);
    // It has its length before it is mapped, and no blocks on the disk before they are written.
    const map = await file?.truncate(sizeBytes).then(
      () => MappedFile.beingWritten("temporary file of weights", file.fd, sizeBytes),
      () => undefined,
    );
    if (file && map) return new SpillFile(file, map);
    await file?.close();
    return undefined;
  }

  /** Where a copy of `bytes` is from now on; undefined when the disk is full, and ever after. */
  async append(bytes: Uint8Array): Promise<Pointer | undefined> {
    const at = this.#end;
    try {
      for (let done = 0; done < bytes.byteLength && !this.#isFull; ) {
        const { bytesWritten } = await this.file.write(bytes, done, undefined, at + done);
        done += bytesWritten;
      }
    } catch {
      this.#isFull = true;
    }
    if (this.#isFull) return undefined;
    this.#end += SpillFile.room(bytes.byteLength);
    return this.map.at(at, bytes.byteLength);
  }

  letGo(): void {
    this.map.letGo();
  }

  [Symbol.dispose](): void {
    this.map[Symbol.dispose]();
    // It is gone with the last that holds it; a failure to close it changes nothing.
    this.file.close().catch(() => {});
  }
}

/** An open file whose name is removed already. */
async function nameless(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "internvl-weights-"));
  try {
    return await open(join(folder, "weights"), "wx+", 0o600);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
