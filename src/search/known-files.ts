import { hash } from "node:crypto";

/**
 * A set of 64-bit keys (the first 8 bytes of a SHA-256), each with a number from 0 on in the order of adding.
 * Costs 16 to 32 bytes a key. Two different texts share a key with probability n²/2^65: 3e-8 for a million.
 */
export class KeySet {
  #lo = new Uint32Array(1024);
  #hi = new Uint32Array(1024);
  /** Open addressing: number of the key + 1, or 0 where free. */
  #slots = new Uint32Array(2048);
  size = 0;

  /** The key's number, or -1. */
  find(lo: number, hi: number): number {
    return this.#slots[this.#slot(lo, hi)]! - 1;
  }

  /** The key's number, new or old. */
  add(lo: number, hi: number): number {
    const slot = this.#slot(lo, hi);
    if (this.#slots[slot] !== 0) return this.#slots[slot]! - 1;
    if (this.size === this.#lo.length) {
      this.#grow();
      return this.add(lo, hi);
    }
    this.#lo[this.size] = lo;
    this.#hi[this.size] = hi;
    this.#slots[slot] = ++this.size;
    return this.size - 1;
  }

  #slot(lo: number, hi: number): number {
    const mask = this.#slots.length - 1;
    let at = (lo ^ hi) & mask; // The key is a hash already.
    for (; ; at = (at + 1) & mask) {
      const n = this.#slots[at]! - 1;
      if (n < 0 || (this.#lo[n] === lo && this.#hi[n] === hi)) return at;
    }
  }

  #grow(): void {
    this.#lo = doubled(this.#lo);
    this.#hi = doubled(this.#hi);
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let n = 0; n < this.size; n++) this.#slots[this.#slot(this.#lo[n]!, this.#hi[n]!)] = n + 1;
  }
}

const INDEXED = 1;
const FAILED = 2;
const SEEN = 4;

/** What the index knows of a file: enough to tell that it has not changed. */
export interface KnownFile {
  readonly size: number;
  readonly mtimeMs: number;
  readonly failed: boolean;
}

/**
 * What the index holds, without paths or vectors, so that a folder can be compared with it as a stream: path ->
 * (size, mtime, failed, seen in this walk), and the set of contents. Costs 50 to 100 bytes a file.
 */
export class KnownFiles {
  readonly #paths = new KeySet();
  readonly #contents = new KeySet();
  #size = new Float64Array(1024);
  #mtimeMs = new Float64Array(1024);
  #flags = new Uint8Array(1024);

  set(path: string, file: KnownFile): void {
    const n = this.#number(path);
    this.#size[n] = file.size;
    this.#mtimeMs[n] = file.mtimeMs;
    this.#flags[n] = (this.#flags[n]! & SEEN) | INDEXED | (file.failed ? FAILED : 0);
  }

  get(path: string): KnownFile | undefined {
    const n = this.#paths.find(...keyOf(path));
    if (n < 0 || (this.#flags[n]! & INDEXED) === 0) return undefined;
    return { size: this.#size[n]!, mtimeMs: this.#mtimeMs[n]!, failed: (this.#flags[n]! & FAILED) !== 0 };
  }

  setSeen(path: string, seen: boolean): void {
    const n = this.#number(path);
    this.#flags[n] = seen ? this.#flags[n]! | SEEN : this.#flags[n]! & ~SEEN;
  }

  isSeen(path: string): boolean {
    const n = this.#paths.find(...keyOf(path));
    return n >= 0 && (this.#flags[n]! & SEEN) !== 0;
  }

  /** Remembers a content hash (hex, at least 16 digits). */
  addContent(contentHash: string): void {
    this.#contents.add(...hexKey(contentHash));
  }

  /** Whether this content is probably in the index: a false yes is possible, a false no is not. */
  mayHaveContent(contentHash: string): boolean {
    return this.#contents.find(...hexKey(contentHash)) >= 0;
  }

  #number(path: string): number {
    const n = this.#paths.add(...keyOf(path));
    if (n === this.#size.length) {
      this.#size = doubled(this.#size);
      this.#mtimeMs = doubled(this.#mtimeMs);
      this.#flags = doubled(this.#flags);
    }
    return n;
  }
}

const hexKey = (hex: string): [lo: number, hi: number] => [
  Number.parseInt(hex.slice(0, 8), 16),
  Number.parseInt(hex.slice(8, 16), 16),
];

const keyOf = (text: string): [lo: number, hi: number] => hexKey(hash("sha256", text, "hex"));

function doubled<A extends Uint8Array | Uint32Array | Float64Array>(array: A): A {
  const bigger = new (array.constructor as new (length: number) => A)(array.length * 2);
  bigger.set(array);
  return bigger;
}
