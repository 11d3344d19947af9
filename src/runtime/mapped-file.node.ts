import { closeSync, fstatSync, openSync } from "node:fs";
import { CheckpointError } from "../core/errors.ts";
import { koffi } from "./koffi.node.ts";
import type { NativeFunction, Pointer } from "./ort-api.node.ts";

const PROT_READ = 1;
const MAP_PRIVATE = 2;
const MAP_FAILED = BigInt.asUintN(64, -1n);

interface Mapping {
  readonly mmap: NativeFunction;
  readonly munmap: NativeFunction;
}

/** libc's calls, which Node itself links; undefined on Windows, where files are read instead. */
function mapping(): Mapping | undefined {
  if (process.platform === "win32") return undefined;
  const libc = koffi.load(null);
  return {
    mmap: libc.func("mmap", "void *", ["void *", "size_t", "int", "int", "int", "int64_t"]),
    munmap: libc.func("munmap", "int", ["void *", "size_t"]),
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
      const { size } = fstatSync(file);
      if (size === 0) return undefined;
      const address: Pointer | null = calls.mmap(null, size, PROT_READ, MAP_PRIVATE, file, 0);
      if (!address || address === MAP_FAILED) return undefined;
      return new MappedFile(path, size, address);
    } finally {
      closeSync(file); // the mapping keeps the file
    }
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

  [Symbol.dispose](): void {
    if (this.#address !== 0n) calls?.munmap(this.#address, this.sizeBytes);
    this.#address = 0n;
  }
}
