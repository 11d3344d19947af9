import { closeSync, fstatSync, openSync } from "node:fs";
import { CheckpointError } from "../core/errors.ts";
import { koffi } from "./koffi.node.ts";
import type { NativeFunction, Pointer } from "./ort-api.node.ts";

const PROT_READ = 1;
const MAP_PRIVATE = 2;
/** With it, what is written to the file while it is mapped is seen. */
const MAP_SHARED = 1;
const MADV_DONTNEED = 4;
const MAP_FAILED = BigInt.asUintN(64, -1n);

interface Mapping {
  readonly mmap: NativeFunction;
  readonly munmap: NativeFunction;
  readonly madvise: NativeFunction;
}

/** libc's calls, which Node itself links; undefined on Windows, where files are read instead. */
function mapping(): Mapping | undefined {
  if (process.platform === "win32") return undefined;
  const libc = koffi.load(null);
  return {
    mmap: libc.func("mmap", "void *", ["void *", "size_t", "int", "int", "int", "int64_t"]),
    munmap: libc.func("munmap", "int", ["void *", "size_t"]),
    madvise: libc.func("madvise", "int", ["void *", "size_t", "int"]),
  };
}

const calls = mapping();

/**
 * A whole file in memory, read only: pages come from disk when they are touched and are shared with every other
 * process that maps it. The file must not be shortened while it is mapped: the system ends a process that touches
 * a page that is gone.
 */
export class MappedFile implements Disposable {
  #address: Pointer;

  private constructor(
    readonly path: string,
    readonly sizeBytes: number,
    address: Pointer,
  ) {
    this.#address = address;
  }

  /** Maps `path`; undefined where the platform or the file system cannot. */
  static open(path: string): MappedFile | undefined {
    if (calls === undefined) return undefined;
    const file = openSync(path, "r");
    try {
      return MappedFile.#of(path, file, fstatSync(file).size, MAP_PRIVATE);
    } finally {
      closeSync(file); // the mapping keeps the file
    }
  }

  /** Maps the first `sizeBytes` of an open file that is still written to; undefined where that is not possible. */
  static beingWritten(path: string, file: number, sizeBytes: number): MappedFile | undefined {
    return MappedFile.#of(path, file, sizeBytes, MAP_SHARED);
  }

  static #of(path: string, file: number, sizeBytes: number, flags: number): MappedFile | undefined {
    if (calls === undefined || sizeBytes === 0) return undefined;
    const address: Pointer | null = calls.mmap(null, sizeBytes, PROT_READ, flags, file, 0);
    if (!address || address === MAP_FAILED) return undefined;
    return new MappedFile(path, sizeBytes, address);
  }

  /**
   * The address of a byte range. Throws a CheckpointError when the file has become too short for it since its
   * length was checked.
   */
  at(offset: number, sizeBytes: number): Pointer {
    if (offset + sizeBytes > this.sizeBytes)
      throw new CheckpointError(
        `weights: ${this.path} has ${this.sizeBytes} bytes now, ${offset + sizeBytes} are needed; it changed while it was read`,
      );
    return this.#address + BigInt(offset);
  }

  /** Takes its pages out of memory: they come from the system's copy or the disk when they are touched again. */
  letGo(): void {
    if (this.#address !== 0n) calls?.madvise(this.#address, this.sizeBytes, MADV_DONTNEED);
  }

  [Symbol.dispose](): void {
    if (this.#address !== 0n) calls?.munmap(this.#address, this.sizeBytes);
    this.#address = 0n;
  }
}
