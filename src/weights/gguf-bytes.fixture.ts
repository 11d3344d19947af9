/** Value types of the format. */
export const U32 = 4;
export const F32 = 6;
export const STRING = 8;
export const ARRAY = 9;
export const U64 = 10;

/** Bytes of a little-endian number. */
export function le(value: number | bigint, bytes: 4 | 8): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true);
  return out.subarray(0, bytes);
}

/** A text as the format holds it. */
export const text = (value: string): Uint8Array => {
  const bytes = new TextEncoder().encode(value);
  return join(le(bytes.byteLength, 8), bytes);
};

export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  /** Key, type, bytes of the value. */
  readonly entries?: readonly (readonly [key: string, type: number, value: Uint8Array])[];
  readonly tensors?: readonly {
    readonly name: string;
    /** Fastest first. */
    readonly dims: readonly (number | bigint)[];
    readonly type: number;
    readonly offset: number | bigint;
  }[];
  /** What the header claims, where it lies. */
  readonly claims?: { readonly tensors?: number | bigint; readonly entries?: number | bigint };
  readonly alignment?: number;
  readonly data?: Uint8Array;
}

/** A file of the format (docs/gguf.md of ggml-org/ggml) from its parts, right or wrong. */
export function ggufBytes(parts: GgufParts): Uint8Array {
  const { magic = "GGUF", version = 3, entries = [], tensors = [], claims = {}, alignment = 32 } = parts;
  const header = join(
    new TextEncoder().encode(magic),
    le(version, 4),
    le(claims.tensors ?? tensors.length, 8),
    le(claims.entries ?? entries.length, 8),
    ...entries.flatMap(([key, type, value]) => [text(key), le(type, 4), value]),
    ...tensors.flatMap((t) => [
      text(t.name),
      le(t.dims.length, 4),
      ...t.dims.map((d) => le(d, 8)),
      le(t.type, 4),
      le(t.offset, 8),
    ]),
  );
  const padding = new Uint8Array((alignment - (header.byteLength % alignment)) % alignment);
  return join(header, padding, parts.data ?? new Uint8Array(0));
}
