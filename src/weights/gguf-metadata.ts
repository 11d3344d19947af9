import { CheckpointError } from "../core/errors.ts";
import type { GgufMetadata, GgufValue } from "./gguf.ts";

/** An entry of the metadata as the parser gives it, with the type numbers of the format. */
export interface StatedEntry {
  readonly value: unknown;
  readonly type: number;
  readonly subType?: number;
}

/** Types of values in the format, with their bytes; strings and arrays have no fixed size. */
const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const STRING = 8;
const ARRAY = 9;

/**
 * The metadata of a header, by key. Numbers are the parser's. Texts are read again from `header` (its bytes up to the
 * tensors), because the parser drops byte order marks and cuts a text off where its buffer ends, and both are tokens
 * lost. Throws a CheckpointError for keys that are given twice, arrays of arrays and texts that are not UTF-8.
 */
export function readMetadata(
  name: string,
  header: Uint8Array,
  start: number,
  entries: number,
  stated: Readonly<Record<string, StatedEntry>>,
): GgufMetadata {
  const reader = new Reader(name, header, start);
  const out = new Map<string, GgufValue>();
  for (let i = 0; i < entries; i++) {
    const key = reader.text();
    const type = reader.u32();
    const entry = stated[key];
    if (out.has(key)) throw new CheckpointError(`${name}: its metadata names ${JSON.stringify(key)} twice`);
    if (entry?.type !== type) throw reader.damaged();
    if (type === STRING) out.set(key, reader.text());
    else if (type !== ARRAY) {
      reader.skip(SIZES[type]!);
      out.set(key, plain(entry.value as number | bigint | boolean));
    } else out.set(key, array(reader, key, entry.value));
  }
  return out;
}

function array(reader: Reader, key: string, value: unknown): readonly GgufValue[] {
  const type = reader.u32();
  const count = reader.u64();
  if (type === ARRAY)
    throw new CheckpointError(`${reader.name}: ${key} is an array of arrays, which no model has`);
  if (type === STRING) return Array.from({ length: count }, () => reader.text());
  reader.skip(count * SIZES[type]!);
  return (value as (number | bigint | boolean)[]).map(plain);
}

const plain = (value: number | bigint | boolean): number | bigint | boolean =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;

/** Walks over a header that the parser has walked over before. */
class Reader {
  readonly #view: DataView;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  #at: number;

  constructor(
    readonly name: string,
    readonly bytes: Uint8Array,
    start: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
  }

  damaged(): CheckpointError {
    return new CheckpointError(
      `${this.name}: the GGUF metadata is damaged at byte ${this.#at}; fetch it again`,
    );
  }

  skip(bytes: number): number {
    const at = this.#at;
    if (!(bytes >= 0 && at + bytes <= this.bytes.byteLength)) throw this.damaged();
    this.#at = at + bytes;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  u64(): number {
    return Number(this.#view.getBigUint64(this.skip(8), true));
  }

  text(): string {
    const length = this.u64();
    const at = this.skip(length);
    try {
      return this.#decoder.decode(this.bytes.subarray(at, at + length));
    } catch {
      throw new CheckpointError(`${this.name}: a text of its metadata at byte ${at} is not UTF-8`);
    }
  }
}
