import type { RgbImage } from "../vision/image.ts";

/** The memory of a {@link PictureCache}: shared between threads, so that a picture is decoded once for all. */
export interface CacheMemory {
  readonly pixels: SharedArrayBuffer;
  /** Int32: the number of used units, then state, first unit, width and height of each item. */
  readonly table: SharedArrayBuffer;
}

const FIELDS = 4;
const STATE = { absent: 0, writing: 1, ready: 2, tooLarge: 3, broken: 4 } as const;
/** Pictures begin at multiples of this, so that offsets of large caches fit 32 bits. */
const UNIT_BYTES = 64;

export function makeCacheMemory(items: number, bytes: number): CacheMemory {
  return {
    pixels: new SharedArrayBuffer(Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES),
    table: new SharedArrayBuffer((1 + items * FIELDS) * 4),
  };
}

/**
 * Decoded pictures by item number, in a fixed amount of memory shared by threads. It fills up and then stays as it is:
 * an epoch uses every picture once, so throwing out the oldest would only throw out the one that is needed soonest.
 * Without locks: whoever wins an entry's state writes it, the others decode for themselves meanwhile.
 */
export class PictureCache {
  readonly #pixels: Uint8Array;
  readonly #table: Int32Array;

  constructor(memory: CacheMemory) {
    this.#pixels = new Uint8Array(memory.pixels);
    this.#table = new Int32Array(memory.table);
  }

  /** Bytes taken by pictures. */
  get usedBytes(): number {
    return Atomics.load(this.#table, 0) * UNIT_BYTES;
  }

  /** The picture as a view that must not be written to, "broken", or undefined where it must be decoded. */
  get(item: number): RgbImage | "broken" | undefined {
    const entry = 1 + item * FIELDS;
    const state = Atomics.load(this.#table, entry);
    if (state === STATE.broken) return "broken";
    if (state !== STATE.ready) return undefined;
    const from = this.#table[entry + 1]! * UNIT_BYTES;
    const width = this.#table[entry + 2]!;
    const height = this.#table[entry + 3]!;
    return { width, height, data: this.#pixels.subarray(from, from + width * height * 3) };
  }

  /** Keeps a copy where there is room. */
  put(item: number, { width, height, data }: RgbImage): void {
    const table = this.#table;
    const entry = 1 + item * FIELDS;
    if (Atomics.compareExchange(table, entry, STATE.absent, STATE.writing) !== STATE.absent) return;
    const units = Math.ceil(data.length / UNIT_BYTES);
    const first = this.#reserve(units);
    if (first === undefined) {
      Atomics.store(table, entry, STATE.tooLarge);
      return;
    }
    this.#pixels.set(data, first * UNIT_BYTES);
    table[entry + 1] = first;
    table[entry + 2] = width;
    table[entry + 3] = height;
    Atomics.store(table, entry, STATE.ready);
  }

  /** Remembers that the item's file cannot be used, so that it is not tried again. */
  markBroken(item: number): void {
    Atomics.store(this.#table, 1 + item * FIELDS, STATE.broken);
  }

  #reserve(units: number): number | undefined {
    for (;;) {
      const used = Atomics.load(this.#table, 0);
      if ((used + units) * UNIT_BYTES > this.#pixels.length) return undefined;
      if (Atomics.compareExchange(this.#table, 0, used, used + units) === used) return used;
    }
  }
}
