import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBytes, type HostTensor, rawBytes, sizeOf } from "../core/array.ts";
import { DTYPES, type DType } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import {
  headerLength,
  MAX_HEADER_BYTES,
  parseSafetensors,
  serializeHeader,
  serializeSafetensors,
} from "./safetensors.ts";

const tensor = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(DTYPES) as DType[])),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(255),
  })
  .map(({ dtype, shape, seed }): HostTensor => {
    const bytes = Uint8Array.from(
      { length: sizeOf(shape) * DTYPES[dtype].bytes },
      (_, i) => (i * 37 + seed) % 256,
    );
    return fromBytes(dtype, shape, bytes);
  });
const name = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("0", "10", "__proto__", 'a"b\\', "{x}:", "toString"),
);
const file = fc.array(fc.tuple(name, tensor), { maxLength: 6 }).map((entries) => {
  const map = new Map(entries);
  map.delete("__metadata__");
  return map;
});

/** A file with this text as its header. */
function fileOf(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  out.set(json, 8);
  return out;
}

const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

describe("round trip", () => {
  test("keys, dtypes, shapes, bytes and metadata of any tensors survive", () => {
    fc.assert(
      fc.property(file, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
        const bytes = serializeSafetensors(tensors, metadata);
        const back = parseSafetensors("file", bytes);
        expect(new Set(back.tensors.keys())).toEqual(new Set(tensors.keys()));
        expect(Object.entries(back.metadata).sort()).toEqual(Object.entries(metadata).sort());
        for (const [key, t] of tensors) {
          const { dtype, shape } = back.tensors.get(key)!;
          expect({ dtype, shape }).toEqual({ dtype: t.dtype, shape: t.shape });
          expect(rawBytes(back.tensors.get(key)!)).toEqual(rawBytes(t));
        }
      }),
    );
  });

  test("the data starts at a multiple of 8 bytes, in the given order", () => {
    for (let n = 1; n < 20; n++) {
      const { bytes, entries } = serializeHeader([
        ["b".repeat(n), { dtype: "u8", shape: [3] }],
        ["a", { dtype: "f32", shape: [] }],
      ]);
      expect(bytes.byteLength % 8).toBe(0);
      expect(entries.map((e) => e.begin - bytes.byteLength)).toEqual([0, 3]);
    }
  });

  test.each(["a", "__metadata__"])("the key %s cannot be written twice or at all", (key) => {
    const spec = { dtype: "u8", shape: [1] } as const;
    expect(() =>
      serializeHeader([
        ["a", spec],
        [key, spec],
      ]),
    ).toThrow(CheckpointError);
  });
});

describe("damage", () => {
  const good = serializeSafetensors(
    new Map<string, HostTensor>([
      ["a", fromBytes("f32", [2], new Uint8Array(8))],
      ["b", fromBytes("u8", [3], new Uint8Array(3))],
    ]),
    { note: "x" },
  );

  test("a file cut at any byte, or with a byte too many, is refused", () => {
    for (let length = 0; length < good.byteLength; length++)
      expect(() => parseSafetensors("cut", good.slice(0, length)), `${length}`).toThrow(CheckpointError);
    expect(() => parseSafetensors("long", new Uint8Array([...good, 0]))).toThrow(/1 bytes at the end/);
  });

  test("any change of a byte is read or refused, never anything else", () => {
    fc.assert(
      fc.property(fc.nat(good.byteLength - 1), fc.nat(255), (at, value) => {
        const bytes = good.slice();
        bytes[at] = value;
        try {
          parseSafetensors("changed", bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test.each<[string, string, number, RegExp]>([
    ["not JSON", "{", 0, /not JSON/],
    ["not an object", "[]", 0, /must be a JSON object/],
    ["leading space", ' {"a":1}', 0, /starts with "\{"/],
    ["no record", '{"a":1}', 0, /a: expected \{ dtype/],
    ["metadata of numbers", '{"__metadata__":{"a":1}}', 0, /must map names to strings/],
    ["unknown dtype", `{"a":${entry("F4", [2], 0, 1)}}`, 1, /dtype "F4" is not supported/],
    ["negative size", `{"a":${entry("U8", [-1], 0, 1)}}`, 1, /shape \[-1\]/],
    ["fractional size", `{"a":${entry("U8", [0.5], 0, 1)}}`, 1, /shape \[0\.5\]/],
    ["shape that overflows", `{"a":${entry("F32", [2 ** 31, 2 ** 31], 0, 0)}}`, 0, /too large/],
    [
      "shape that overflows before a zero",
      `{"a":${entry("F32", [2 ** 50, 2 ** 50, 0], 0, 0)}}`,
      0,
      /too large/,
    ],
    ["one offset", '{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}', 1, /no \[begin, end\]/],
    [
      "offsets against the shape",
      `{"a":${entry("F32", [2], 0, 4)}}`,
      4,
      /needs 8 bytes, data_offsets span 4/,
    ],
    ["reversed offsets", `{"a":${entry("U8", [1], 1, 0)}}`, 1, /span -1/],
    ["hole", `{"a":${entry("U8", [1], 0, 1)},"b":${entry("U8", [1], 2, 3)}}`, 3, /1 bytes before b/],
    ["overlap", `{"a":${entry("U8", [2], 0, 2)},"b":${entry("U8", [2], 1, 3)}}`, 3, /b overlaps/],
    ["beyond the end", `{"a":${entry("U8", [9], 0, 9)}}`, 4, /the file at .*truncated/],
    [
      "twice the same key",
      `{"a":${entry("U8", [1], 0, 1)},"\\u0061":${entry("U8", [1], 0, 1)}}`,
      1,
      /names "a" twice/,
    ],
    [
      "twice the same field",
      '{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
      1,
      /"dtype" twice/,
    ],
  ])("%s", (_, header, dataBytes, message) => {
    const parse = () => parseSafetensors("bad.safetensors", fileOf(header, dataBytes));
    expect(parse).toThrow(CheckpointError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^bad\.safetensors: /);
  });

  test("several problems are told at once", () => {
    const header = `{"a":${entry("F4", [2], 0, 1)},"b":${entry("F32", [1], 0, 1)}}`;
    expect(() => parseSafetensors("x", fileOf(header, 1))).toThrow(/a: dtype.*b: F32 \[1\] needs 4 bytes/);
  });

  test("a header that claims more than the limit or the file is not allocated", () => {
    const claim = (n: bigint) => new Uint8Array(new BigUint64Array([n]).buffer);
    expect(() => headerLength("x", claim(2n ** 63n), 100)).toThrow(/claims 9223372036854775808 bytes/);
    expect(() => headerLength("x", claim(BigInt(MAX_HEADER_BYTES) + 1n), 2 ** 40)).toThrow(/at most/);
    expect(() => headerLength("x", claim(93n), 100)).toThrow(/truncated/);
    expect(headerLength("x", claim(92n), 100)).toBe(92);
  });

  test("a string of megabytes in the header is read", () => {
    const note = '\\"'.repeat(2_000_000);
    expect(
      parseSafetensors("x", fileOf(`{"__metadata__":{"note":"${note}"}}`, 0)).metadata.note?.length,
    ).toBe(2_000_000);
  });
});
