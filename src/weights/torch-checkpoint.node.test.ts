import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor } from "../runtime/runtime.ts";
import { isFileTensor } from "./checkpoint.ts";
import { openSafetensors } from "./safetensors.node.ts";
import { cut, fixture } from "./test-files.node.ts";
import { openTorchCheckpoint } from "./torch-checkpoint.node.ts";

describe("archives that torch.save wrote", () => {
  test("hold the same tensors as torch says: every dtype, scalars, parameters, strided and shared ones", async () => {
    const torch = await openTorchCheckpoint(fixture("plain.pth"));
    const expected = await openSafetensors(fixture("plain.safetensors"));
    expect(new Set(torch.keys)).toEqual(new Set(expected.keys));
    for (const [key, source] of torch.tensors)
      expect(await torch.read(source), key).toEqual(await expected.read(expected.tensors.get(key)!));
  });

  test("are mapped by byte range, only strided tensors are made when they are read", async () => {
    const { tensors } = await openTorchCheckpoint(fixture("plain.pth"));
    const lazy = [...tensors].filter(([, t]) => !isFileTensor(t)).map(([k]) => k);
    expect(lazy.sort()).toEqual(["half.transposed", "shared.transposed", "shared.window"]);
    const [whole, row] = [tensors.get("shared"), tensors.get("shared.row")] as FileTensor[];
    expect(row!.offset - whole!.offset).toBe(2 * 6 * 4);
  });

  test("may nest the state dict beside other things", async () => {
    const { keys } = await openTorchCheckpoint(fixture("nested.pth"));
    expect(keys).toEqual(["linear.weight", "linear.bias", "norm.weight", "norm.bias"]);
  });
});

describe("refused", () => {
  test("code in a pickle is named and not run", async () => {
    const error = await openTorchCheckpoint(fixture("evil.pth")).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(String(error)).toMatch(/refers to "(posix|nt)\.system".*refused and not run/);
    expect(existsSync("/tmp/internvl-pickle-was-executed")).toBe(false);
  });

  test.each<[string, RegExp]>([
    ["legacy.pth", /format from before 1\.6.*torch\.save\(torch\.load\(/],
    ["plain.safetensors", /expected a zip archive as torch\.save writes it/],
    ["no_tensors.pth", /expected a state dict.*found a dict of epoch, lr/],
    ["mixed.pth", /1 entries of the state dict are no tensors: epoch/],
    ["expanded.pth", /more memory than the file is long/],
    ["deflated.pth", /compressed or encrypted in the archive.*data\.pkl/],
    ["doubled.pth", /damaged \(small\/data\/0 occurs twice\)/],
    ["big_endian.pth", /byte order "big"/],
    ["no_storage.pth", /weight lies in storage 0, which the archive lacks/],
    ["short_storage.pth", /weight .* outside its storage: 24 bytes stated, 16 in the archive/],
    ["outside.pth", /1 of 1 tensors: weight \(f32 \[9,3\].* reaches outside its storage of 24 bytes/],
    ["no_pickle.pth", /expected one NAME\/data\.pkl in the archive, found 0/],
    ["script.pth", /TorchScript program/],
    ["absent.pth", /cannot be opened \(ENOENT\)/],
  ])("%s", async (file, message) => {
    const error = await openTorchCheckpoint(fixture(file)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(String(error)).toMatch(message);
  });

  test("an archive cut anywhere", async () => {
    await using folder = await temporaryFolder();
    const size = (await readFile(fixture("nested.pth"))).byteLength;
    for (let bytes = 0; bytes < size; bytes += bytes < 8 || bytes > size - 64 ? 1 : 61)
      await expect(openTorchCheckpoint(await cut(fixture("nested.pth"), bytes, folder.path))).rejects.toThrow(
        CheckpointError,
      );
  });

  test("a directory that points outside every file, which the archive library would crash on", async () => {
    await using folder = await temporaryFolder();
    const bytes = await readFile(fixture("small.pth"));
    // The zip64 locator, 20 bytes before the end record: the offset of the zip64 record is its second field.
    const locator = bytes.lastIndexOf(Buffer.from("PK\x06\x07", "latin1"));
    expect(locator).toBeGreaterThan(0);
    bytes.writeBigUInt64LE(2n ** 62n, locator + 8);
    const path = join(folder.path, "pointer.pth");
    await writeFile(path, bytes);
    await expect(openTorchCheckpoint(path)).rejects.toThrow(/it points at byte \d{19} of/);
  });

  test("any damage is read or refused, never anything else", async () => {
    await using folder = await temporaryFolder();
    const good = await readFile(fixture("nested.pth"));
    const path = join(folder.path, "damaged.pth");
    await fc.assert(
      fc.asyncProperty(fc.nat(good.byteLength - 1), fc.nat(255), async (at, value) => {
        const bytes = Buffer.from(good);
        bytes[at] = value;
        await writeFile(path, bytes);
        const opened = await openTorchCheckpoint(path).catch((e: unknown) => e);
        if (opened instanceof Error) expect(opened).toBeInstanceOf(CheckpointError);
      }),
      { numRuns: 150 },
    );
  });
});
