import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { f32, fromBytes, type HostTensor } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { openSafetensors } from "./safetensors.node.ts";
import { serializeSafetensors } from "./safetensors.ts";
import { cut, fixture } from "./test-files.node.ts";
import { writeSafetensors } from "./write-safetensors.node.ts";

const TENSORS = new Map<string, HostTensor>([
  ["z", f32([2, 3], [1, 2, 3, 4, 5, 6])],
  ["a", fromBytes("bf16", [2], new Uint8Array([1, 2, 3, 4]))],
  ["empty", f32([0, 4], [])],
  ["scalar", f32([], [2.5])],
]);

async function readAll(checkpoint: Checkpoint): Promise<Map<string, HostTensor>> {
  const out = new Map<string, HostTensor>();
  for (const [key, source] of checkpoint.tensors) out.set(key, await checkpoint.read(source));
  return out;
}

/** What a refused promise says; fails the test when it is none of our errors. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("was accepted"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as Error).message;
}

describe("a single file", () => {
  test("what is written is read, by byte range, in the given order", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "new", "model.safetensors");
    expect(await writeSafetensors(path, TENSORS, { metadata: { step: "7" } })).toEqual([path]);
    for (const place of [path, join(folder.path, "new")]) {
      const opened = await openSafetensors(place);
      expect(opened.keys).toEqual([...TENSORS.keys()]);
      expect(opened.metadata).toEqual({ step: "7" });
      expect(await readAll(opened)).toEqual(TENSORS);
    }
    const { file, offset } = (await openSafetensors(path)).tensors.get("a") as FileTensor;
    expect((await readFile(file)).subarray(offset, offset + 4)).toEqual(Buffer.from([1, 2, 3, 4]));
    expect(await readFile(path)).toEqual(Buffer.from(serializeSafetensors(TENSORS, { step: "7" })));
  });

  test("a file of the reference implementation is read", async () => {
    const opened = await openSafetensors(fixture("plain.safetensors"));
    expect(opened.tensors.get("f16")).toMatchObject({ dtype: "f16", shape: [5] });
    const i64 = await opened.read(opened.tensors.get("i64")!);
    expect(i64.data).toEqual(BigInt64Array.of(-(2n ** 40n), 0n, 2n ** 40n));
    expect((await opened.read(opened.tensors.get("scalar")!)).data).toEqual(Float32Array.of(2.5));
  });

  test("cut anywhere, it is refused", async () => {
    await using folder = await temporaryFolder();
    const source = fixture("plain.safetensors");
    const size = (await readFile(source)).byteLength;
    for (let bytes = 0; bytes < size; bytes += bytes < 16 || bytes > size - 16 ? 1 : 97)
      expect(await refusal(openSafetensors(await cut(source, bytes, folder.path)))).toMatch(
        /truncated|damaged/,
      );
  });

  test("a file that shrinks after it was opened is refused when it is read", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "model.safetensors");
    await writeSafetensors(path, TENSORS);
    const opened = await openSafetensors(path);
    await truncate(path, (await readFile(path)).byteLength - 1);
    expect(await refusal(opened.read(opened.tensors.get("scalar")!))).toMatch(/truncated or being written/);
  });

  test("missing files and folders say what was looked for", async () => {
    await using folder = await temporaryFolder();
    expect(await refusal(openSafetensors(join(folder.path, "none.safetensors")))).toMatch(
      /cannot be opened \(ENOENT\)/,
    );
    expect(await refusal(openSafetensors(folder.path))).toMatch(/expected model\.safetensors or/);
    await mkdir(join(folder.path, "model.safetensors"));
    expect(await refusal(openSafetensors(folder.path))).toMatch(/found a folder or device/);
    await writeFile(join(folder.path, "model.safetensors.index.json"), "{}");
    expect(await refusal(openSafetensors(folder.path))).toMatch(/holds both/);
  });
});

describe("shards", () => {
  async function written(folder: string): Promise<string[]> {
    return writeSafetensors(join(folder, "model.safetensors"), TENSORS, { maxShardBytes: 10 });
  }

  test("are filled in order up to the limit and read through the index", async () => {
    await using folder = await temporaryFolder();
    const files = await written(folder.path);
    expect(files.map((f) => f.slice(folder.path.length + 1))).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ]);
    expect((await readdir(folder.path)).sort()).toEqual(files.map((f) => f.slice(folder.path.length + 1)));
    for (const place of [folder.path, files.at(-1)!]) {
      const opened = await openSafetensors(place);
      expect(opened.keys).toEqual([...TENSORS.keys()]);
      expect(await readAll(opened)).toEqual(TENSORS);
    }
  });

  test("no shard passes the limit unless one tensor does, and every shard is told that is missing", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "m.safetensors");
    const tensors = ["a", "b", "c", "d", "e"].map((k, i): [string, HostTensor] => [
      k,
      f32([i === 3 ? 9 : 1], new Float32Array(i === 3 ? 9 : 1)),
    ]);
    const files = await writeSafetensors(path, tensors, { maxShardBytes: 10 });
    const held = await Promise.all(
      files.slice(0, -1).map(async (f) => (await openSafetensors(f)).keys.join("")),
    );
    expect(held).toEqual(["ab", "c", "d", "e"]);
    await rm(files[1]!);
    await truncate(files[2]!, 20);
    expect(await refusal(openSafetensors(files.at(-1)!))).toMatch(
      /2 of 4 shards cannot be read \(.*00002.*ENOENT.*00003.*truncated/,
    );
  });

  test("are followed through links, as download caches make them", async () => {
    await using folder = await temporaryFolder();
    const files = await written(join(folder.path, "blobs"));
    await mkdir(join(folder.path, "snapshot"));
    for (const file of files) await symlink(file, file.replace("blobs", "snapshot"));
    expect((await openSafetensors(join(folder.path, "snapshot"))).keys.length).toBe(TENSORS.size);
  });

  test.each<[string, string, RegExp]>([
    ["no JSON", "{", /expected JSON/],
    ["no map", '{"weight_map":[]}', /expected an object "weight_map"/],
    ["no object", "null", /expected an object "weight_map"/],
    ["a number for a file", '{"weight_map":{"z":1}}', /own folder, found z: 1/],
    ["a way out", '{"weight_map":{"z":"../model-00001-of-00002.safetensors"}}', /own folder/],
    ["a way out with backslashes", '{"weight_map":{"z":"..\\\\x.safetensors"}}', /own folder/],
    ["an absolute path", '{"weight_map":{"z":"/etc/x.safetensors"}}', /own folder/],
    ["another kind of file", '{"weight_map":{"z":"config.json"}}', /own folder/],
    ["a key twice", '{"weight_map":{"z":"a.safetensors","z":"b.safetensors"}}', /names "z" twice/],
    ["a missing shard", '{"weight_map":{"z":"absent.safetensors"}}', /absent\.safetensors: cannot be opened/],
    [
      "a key that no shard has",
      '{"weight_map":{"y":"model-00001-of-00002.safetensors"}}',
      /y is not in model-00001/,
    ],
    [
      "a key that it lacks",
      '{"weight_map":{"z":"model-00002-of-00002.safetensors"}}',
      /the index says nothing/,
    ],
  ])("an index with %s is refused", async (_, text, message) => {
    await using folder = await temporaryFolder();
    const index = (await written(folder.path)).at(-1)!;
    await writeFile(index, text);
    const found = await refusal(openSafetensors(folder.path));
    expect(found).toMatch(message);
  });
});

describe("writing", () => {
  test("tensors of files, lazy ones and async iterables are streamed to the same bytes", async () => {
    await using folder = await temporaryFolder();
    const first = join(folder.path, "first.safetensors");
    await writeSafetensors(first, TENSORS);
    const opened = await openSafetensors(first);
    let held = 0;
    const lazy = [...TENSORS].map(([key, t]): [string, TensorSource] => [
      key,
      {
        dtype: t.dtype,
        shape: t.shape,
        load: async () => {
          expect(++held, "one tensor at a time").toBe(1);
          await new Promise((done) => setTimeout(done, 1));
          held--;
          return t;
        },
      },
    ]);
    const stream = async function* () {
      yield* opened.tensors;
    };
    for (const [i, source] of [opened.tensors, lazy, stream()].entries()) {
      const path = join(folder.path, `${i}.safetensors`);
      await writeSafetensors(path, source);
      expect(await readFile(path), `source ${i}`).toEqual(await readFile(first));
    }
    expect((await readdir(folder.path)).filter((f) => f.endsWith(".tmp"))).toEqual([]);
  });

  test("a failure leaves the old file and nothing else", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "model.safetensors");
    await writeSafetensors(path, TENSORS);
    const before = await readFile(path);
    const broken = [
      ["z", f32([1], [1])],
      ["a", { dtype: "f32", shape: [1], load: () => Promise.reject(new CheckpointError("no data")) }],
    ] as const;
    expect(await refusal(writeSafetensors(path, broken))).toBe("no data");
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(folder.path)).toEqual(["model.safetensors"]);
  });

  test("wrong requests are refused", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "m.safetensors");
    expect(await refusal(writeSafetensors(join(folder.path, "m.bin"), TENSORS))).toMatch(
      /ends in \.safetensors/,
    );
    const twice = [...TENSORS, ...TENSORS];
    expect(await refusal(writeSafetensors(path, twice))).toMatch(/given twice/);
    expect(await refusal(writeSafetensors(path, twice, { maxShardBytes: 4 }))).toMatch(/given twice/);
    const liar = { dtype: "f32", shape: [2], load: async () => f32([3], [1, 2, 3]) } as const;
    expect(await refusal(writeSafetensors(path, [["a", liar]]))).toMatch(
      /announced as f32 \[2\] and came as f32 \[3\]/,
    );
    expect(await readdir(folder.path)).toEqual([]);
  });
});
