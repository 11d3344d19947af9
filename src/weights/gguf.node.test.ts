import { mkdir, writeFile } from "node:fs/promises";
import { join as pathJoin } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../core/errors.ts";
import { ggufCheckpoint } from "./ggml-rows.ts";
import { openGguf } from "./gguf.node.ts";
import {
  ARRAY,
  F32,
  type GgufParts,
  ggufBytes,
  join,
  le,
  STRING,
  text,
  U32,
  U64,
} from "./gguf-bytes.fixture.ts";

async function open(parts: GgufParts | Uint8Array, name = "model.gguf") {
  await using folder = await temporaryFolder();
  const path = pathJoin(folder.path, name);
  await writeFile(path, parts instanceof Uint8Array ? parts : ggufBytes(parts));
  const file = await openGguf(path);
  const checkpoint = ggufCheckpoint(file);
  const values: Record<string, unknown> = {};
  for (const [key, source] of checkpoint.tensors) {
    const { shape, data, dtype } = await checkpoint.read(source);
    values[key] = { dtype, shape, data: [...(data as Float32Array)] };
  }
  return { metadata: Object.fromEntries(file.metadata), values };
}

const refused = async (parts: GgufParts | Uint8Array, message: RegExp) => {
  const error = await open(parts).then(
    () => new Error("was accepted"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  expect((error as Error).message).toMatch(message);
};

const strings = (values: readonly string[]) =>
  join(le(STRING, 4), le(values.length, 8), ...values.map((v) => text(v)));
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

const TENSOR = { name: "a", dims: [3, 2], type: 0, offset: 0 } as const;
const GOOD: GgufParts = { tensors: [TENSOR], data: floats(1, 2, 3, 4, 5, 6) };

describe("a file", () => {
  test("gives tensors row-major, and metadata by type", async () => {
    const { metadata, values } = await open({
      ...GOOD,
      entries: [
        ["general.name", STRING, text("Ä")],
        ["a.count", U64, le(7, 8)],
        ["a.large", U64, le(2n ** 60n, 8)],
        ["a.ids", ARRAY, join(le(U32, 4), le(2, 8), le(5, 4), le(6, 4))],
        ["__proto__", STRING, text("a key like any other")],
      ],
    });
    expect(values).toEqual({ a: { dtype: "f32", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } });
    expect([metadata["general.name"], metadata["a.count"], metadata["a.large"]]).toEqual(["Ä", 7, 2n ** 60n]);
    expect(metadata["a.ids"]).toEqual([5, 6]);
    expect(Object.getOwnPropertyDescriptor(metadata, "__proto__")?.value).toBe("a key like any other");
  });

  test("is read in version 2, and with an alignment of its own", async () => {
    const entries = [["general.alignment", U32, le(64, 4)]] as const;
    const { values } = await open({ ...GOOD, version: 2, entries, alignment: 64 });
    expect(values.a).toMatchObject({ data: [1, 2, 3, 4, 5, 6] });
  });

  test("keeps byte order marks of tokens, and the last token where the parser's buffer ends", async () => {
    // The parser reads 2 MB at a time and asks for more only for numbers: the last text ends in the second piece.
    const tokens = ["\u{feff}", "a".repeat(1_990_000), `${"b".repeat(50_000)}c`];
    const { metadata } = await open({ ...GOOD, entries: [["tokens", ARRAY, strings(tokens)]] });
    const read = metadata.tokens as string[];
    expect(read.map((t) => [t.length, t.at(-1)])).toEqual([
      [1, "\u{feff}"],
      [1_990_000, "a"],
      [50_001, "c"],
    ]);
  });

  test("of a quantised tensor is values", async () => {
    // Scale 0.5 in f16, codes 1, 2, … 32.
    const block = join(
      new Uint8Array([0, 0x38]),
      Uint8Array.from({ length: 32 }, (_, i) => i + 1),
    );
    const { values } = await open({
      tensors: [{ name: "q", dims: [32, 1], type: 8, offset: 0 }],
      data: block,
    });
    expect(values.q).toEqual({
      dtype: "f32",
      shape: [1, 32],
      data: Array.from({ length: 32 }, (_, i) => (i + 1) / 2),
    });
  });
});

describe("a header is refused that", () => {
  test("is no GGUF of versions 2 and 3", async () => {
    await refused({ ...GOOD, magic: "GGML" }, /expected a GGUF file, which starts with "GGUF"/);
    await refused(new Uint8Array(10), /or is truncated/);
    await refused({ ...GOOD, version: 1 }, /GGUF version 1, versions 2 and 3 are read/);
    await refused({ ...GOOD, version: 3 << 24 }, /big-endian/);
  });

  test("claims more than is there", async () => {
    await refused({ ...GOOD, claims: { tensors: 2n ** 63n } }, /at most 100000 and 10000 are read/);
    await refused(
      { ...GOOD, claims: { entries: 9_000 } },
      /9000 entries of metadata, the file has \d+ bytes/,
    );
    await refused({ ...GOOD, claims: { tensors: 2 } }, /truncated|wrong/);
    await refused({ entries: [["k", STRING, join(le(2n ** 40n, 8), new Uint8Array(8))]] }, /cannot be read/);
    await refused(
      { entries: [["k", STRING, join(le(5_000_000, 8), new Uint8Array(8))]] },
      /truncated|damaged/,
    );
    await refused({ entries: [["k", ARRAY, join(le(U32, 4), le(900_000, 8))]] }, /truncated|damaged/);
    await refused({ entries: [["k", ARRAY, join(le(U32, 4), le(2n ** 40n, 8))]] }, /cannot be read/);
    const whole = ggufBytes(GOOD);
    await refused(whole.subarray(0, 70), /truncated/);
    await refused(
      whole.subarray(0, whole.byteLength - 1),
      /a ends at byte \d+, the file at \d+: it is truncated/,
    );
  });

  test("has metadata that cannot be", async () => {
    const twice = ["k", U32, le(1, 4)] as const;
    await refused({ ...GOOD, entries: [twice, twice] }, /its metadata names "k" twice/);
    await refused({ ...GOOD, entries: [["k", 77, le(1, 4)]] }, /cannot be read/);
    await refused(
      { ...GOOD, entries: [["k", STRING, join(le(2, 8), new Uint8Array([0xff, 0xfe]))]] },
      /not UTF-8/,
    );
    const nested = join(le(ARRAY, 4), le(1, 8), le(U32, 4), le(1, 8), le(1, 4));
    await refused({ ...GOOD, entries: [["k", ARRAY, nested]] }, /k is an array of arrays/);
    for (const alignment of [0, 3, 1 << 21])
      await refused(
        { ...GOOD, entries: [["general.alignment", U32, le(alignment, 4)]] },
        /general.alignment must be/,
      );
    await refused(
      { ...GOOD, entries: [["general.alignment", F32, floats(32.5)]] },
      /general.alignment must be/,
    );
  });

  test("has tensors that cannot be", async () => {
    const data = floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    const of = (...tensors: NonNullable<GgufParts["tensors"]>) => ({ tensors, data });
    await refused(of({ ...TENSOR, type: 4 }), /a: its type 4 is none of ggml's/);
    await refused(of({ ...TENSOR, type: 8 }), /rows of 3 weights are no whole blocks of Q8_0 \(32 weights\)/);
    await refused(of({ ...TENSOR, offset: 4 }), /a: its data starts at 4, which is no multiple of 32/);
    await refused(of({ ...TENSOR, offset: 2n ** 62n }), /no multiple of 32/);
    await refused(of({ ...TENSOR, offset: 2 ** 40 }), /a ends at byte \d+, the file at/);
    await refused(of({ ...TENSOR, dims: [2 ** 31, 2 ** 31, 2 ** 31] }), /too many or too large/);
    await refused(of({ ...TENSOR, dims: [1, 1, 1, 1, 1] }), /too many or too large/);
    await refused(of({ ...TENSOR, dims: [2 ** 32, 0] }), /hold nothing/);
    await refused(of({ ...TENSOR, dims: [] }), /hold nothing/);
    await refused(of(TENSOR, TENSOR), /a is given twice/);
    await refused(of(TENSOR, { ...TENSOR, name: "b" }), /b overlaps the tensor before it/);
    await refused(of({ ...TENSOR, name: "" }), /a tensor's name has 0 characters/);
  });

  test("has types that exist and cannot be read, by name", async () => {
    const tensors = [{ name: "blk.0.w", dims: [256], type: 10, offset: 0 }];
    await refused({ tensors, data: new Uint8Array(84) }, /blk.0.w is Q2_K; F32, F16, Q4_0, .* are read/);
    await refused(
      { tensors: [{ ...tensors[0]!, type: 28, dims: [1] }], data: new Uint8Array(8) },
      /blk.0.w is F64/,
    );
  });
});

describe("a split model", () => {
  const shard = (no: number, count: number, name: string, total = 2): GgufParts => ({
    entries: [
      ["split.no", U32, le(no, 4)],
      ["split.count", U32, le(count, 4)],
      ["split.tensors.count", U32, le(total, 4)],
      ["general.name", STRING, text(`file ${no}`)],
    ],
    tensors: [{ ...TENSOR, name }],
    data: floats(no, 2, 3, 4, 5, 6),
  });
  const FIRST = "m-00001-of-00002.gguf";
  const SECOND = "m-00002-of-00002.gguf";

  async function openAll(files: Readonly<Record<string, GgufParts>>, given: string) {
    await using folder = await temporaryFolder();
    await mkdir(folder.path, { recursive: true });
    for (const [name, parts] of Object.entries(files))
      await writeFile(pathJoin(folder.path, name), ggufBytes(parts));
    const file = await openGguf(pathJoin(folder.path, given));
    const { tensors, read } = ggufCheckpoint(file);
    const first = async (key: string) => (await read(tensors.get(key)!)).data[0];
    return { name: file.metadata.get("general.name"), a: await first("a"), b: await first("b") };
  }

  test.each([FIRST, SECOND])("is one, whichever file is given (%s)", async (given) => {
    const files = { [FIRST]: shard(0, 2, "a"), [SECOND]: shard(1, 2, "b") };
    expect(await openAll(files, given)).toEqual({ name: "file 0", a: 0, b: 1 });
  });

  test("is refused when a file is missing, misnamed, another's or repeats a tensor", async () => {
    const [a, b] = [shard(0, 2, "a"), shard(1, 2, "b")];
    await expect(openAll({ [FIRST]: a }, FIRST)).rejects.toThrow(/m-00002-of-00002.gguf: cannot be opened/);
    await expect(openAll({ "m.gguf": a }, "m.gguf")).rejects.toThrow(/one of 2 files of a split model/);
    await expect(openAll({ [FIRST]: a, [SECOND]: a }, FIRST)).rejects.toThrow(
      /says that it is file 0 \(from 0\) of 2/,
    );
    await expect(openAll({ [FIRST]: a, [SECOND]: shard(1, 2, "a") }, FIRST)).rejects.toThrow(
      /a is in .* before it/,
    );
    const short = { [FIRST]: shard(0, 2, "a", 3), [SECOND]: b };
    await expect(openAll(short, FIRST)).rejects.toThrow(/hold 2 tensors, 3 are expected/);
  });
});
