import { RuntimeFailure } from "../core/errors.ts";
import { koffi } from "./koffi.node.ts";
import type { NativeFunction, Pointer } from "./ort-api.node.ts";

/** The C library of the process: on POSIX it is linked into Node itself. */
const libc = koffi.load(process.platform === "win32" ? "ucrtbase.dll" : null);

const memmove: NativeFunction = libc.func("memmove", "void", ["void *", "void *", "size_t"]);
const malloc: NativeFunction = libc.func("malloc", "void *", ["size_t"]);
const release: NativeFunction = libc.func("free", "void", ["void *"]);

/**
 * Copies bytes into native memory. A copy call rather than a view: views are external buffers, which some hosts
 * forbid and which outlive the memory behind them.
 */
export function copyIn(to: Pointer, from: ArrayBufferView): void {
  if (from.byteLength > 0) memmove(to, from, from.byteLength);
}

/** Copies bytes out of native memory; fills `to`. */
export function copyOut(to: ArrayBufferView, from: Pointer): void {
  if (to.byteLength > 0) memmove(to, from, to.byteLength);
}

/** What is exchanged through JavaScript's memory at a time. */
const PIECE = 2 ** 18;

/** Copies within native memory. */
export function copyNative(to: Pointer, from: Pointer, bytes: number): void {
  if (bytes > 0) memmove(to, from, bytes);
}

/** Exchanges two ranges of native memory that do not overlap. */
export function swapNative(a: Pointer, b: Pointer, bytes: number): void {
  const held = new Uint8Array(Math.min(bytes, PIECE));
  for (let at = 0; at < bytes; at += PIECE) {
    const piece = held.subarray(0, Math.min(PIECE, bytes - at));
    const [from, to] = [a + BigInt(at), b + BigInt(at)];
    copyOut(piece, from);
    memmove(from, to, piece.byteLength);
    copyIn(to, piece);
  }
}

/** Start of a block: a cache line, and the widest vector register. */
const ALIGNMENT = 64;

/** A block of native memory that does not move, aligned for the kernels; freed by dispose. */
export class NativeBlock implements Disposable {
  /** What malloc gave. */
  #start: Pointer;

  constructor(readonly sizeBytes: number) {
    this.#start = malloc(sizeBytes + ALIGNMENT) ?? 0n;
    if (this.#start === 0n) throw new RuntimeFailure(`out of memory: ${sizeBytes} bytes were asked for`);
  }

  /** A block that holds a copy of `bytes`. */
  static of(bytes: Uint8Array): NativeBlock {
    const block = new NativeBlock(bytes.byteLength);
    copyIn(block.address, bytes);
    return block;
  }

  get address(): Pointer {
    const step = BigInt(ALIGNMENT);
    return ((this.#start + step - 1n) / step) * step;
  }

  [Symbol.dispose](): void {
    if (this.#start !== 0n) release(this.#start);
    this.#start = 0n;
  }
}
