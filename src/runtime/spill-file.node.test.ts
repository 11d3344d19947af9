import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { f32 } from "../core/array.ts";
import { copyOut } from "./native-memory.node.ts";
import { createRuntime } from "./ort.node.ts";
import type { Pointer } from "./ort-api.node.ts";
import { SpillFile } from "./spill-file.node.ts";
import { linearModel } from "./test-models.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-test-"));
});
afterAll(() => rm(folder, { recursive: true }));

function read(at: Pointer, length: number): number[] {
  const bytes = new Uint8Array(length);
  copyOut(bytes, at);
  return [...bytes];
}

test("what was written is where it was said to be, aligned, after its pages were let go too", async () => {
  vi.stubEnv("TMPDIR", folder);
  using file = (await SpillFile.create(SpillFile.room(3) + SpillFile.room(100)))!;
  const a = (await file.append(Uint8Array.of(1, 2, 3)))!;
  const b = (await file.append(new Uint8Array(100).fill(7)))!;
  expect([a % 64n, b % 64n]).toEqual([0n, 0n]);
  file.letGo();
  expect(read(a, 3)).toEqual([1, 2, 3]);
  expect(read(b, 100)).toEqual(new Array(100).fill(7));
  expect(await readdir(folder)).toEqual([]);
  vi.unstubAllEnvs();
});

test("a file that cannot be written to takes nothing any more", async () => {
  using file = (await SpillFile.create(SpillFile.room(8)))!;
  await file.file.close(); // as a full disk: writing fails
  expect(await file.append(new Uint8Array(4))).toBeUndefined();
  expect(await file.append(new Uint8Array(0))).toBeUndefined();
});

test("without a folder for it there is no file", async () => {
  vi.stubEnv("TMPDIR", join(folder, "none"));
  expect(await SpillFile.create(64)).toBeUndefined();
  vi.unstubAllEnvs();
  expect(await SpillFile.create(0)).toBeUndefined();
});

const SIDE = 2048;
const BYTES = SIDE * SIDE * 4;

/** Weights that are made when they are loaded: `count` matrices of 16 MiB, and what ones times the first gives. */
function madeWeights(count: number) {
  const make = async () =>
    f32(
      [SIDE, SIDE],
      Float32Array.from({ length: SIDE * SIDE }, (_, i) => i % 3),
    );
  const sources = Array.from(
    { length: count },
    (_, i): [string, { dtype: "f32"; shape: number[]; load: typeof make }] => [
      i === 0 ? "w" : `w${i}`,
      { dtype: "f32", shape: [SIDE, SIDE], load: make },
    ],
  );
  const sums = new Float32Array(SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) sums[i % SIDE]! += i % 3;
  return { sources: new Map(sources), y: f32([1, SIDE], sums) };
}

const x = f32([1, SIDE], new Float32Array(SIDE).fill(1));

test.each([
  ["in a file", undefined],
  ["in memory where there is no folder for the file", "none"],
])("large weights that were made are multiplied by: %s", async (_where, missing) => {
  await using runtime = await createRuntime({ threads: 1 });
  const { sources, y } = madeWeights(1);
  if (missing) vi.stubEnv("TMPDIR", join(folder, missing));
  using weights = await runtime.weights(sources);
  vi.unstubAllEnvs();
  await using session = await runtime.session(linearModel(SIDE, SIDE), { weights });
  expect(await session.run({ x })).toEqual({ y });
  await using unpacked = await runtime.session(linearModel(SIDE, SIDE), { weights, prepack: false });
  expect(await unpacked.run({ x })).toEqual({ y });
});

test.runIf(process.platform === "linux")("they take little memory of the process's own", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const own = async () => {
    collectGarbage();
    await sleep(100);
    const [, kilobytes] = /RssAnon:\s+(\d+)/.exec(await readFile("/proc/self/status", "utf8"))!;
    return Number(kilobytes) * 1024;
  };
  await using runtime = await createRuntime({ threads: 1 });
  const { sources } = madeWeights(12);
  const before = await own();
  using weights = await runtime.weights(sources);
  expect(weights.keys.size).toBe(12);
  expect((await own()) - before).toBeLessThan(4 * BYTES);
});
