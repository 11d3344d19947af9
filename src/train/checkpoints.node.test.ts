import { copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { loadLatestState, removeUnfinished, saveState } from "./checkpoints.node.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "checkpoints-"));
});
afterEach(() => rm(folder, { recursive: true }));

const RUN = { recipe: JSON.stringify({ seed: 0, optimizer: { betas: [0.9, 0.95] } }), manifest: "abc" };
const stateAt = (step: number) => new Map([["w", f32([2], [step, -step])]]);
const save = (step: number, keep = 2, run = RUN) => saveState(folder, step, stateAt(step), run, keep);
const fileOf = (step: number) => join(folder, `step-${String(step).padStart(8, "0")}.safetensors`);

describe("a folder of checkpoints", () => {
  test("gives the newest state back, bit for bit", async () => {
    const odd = new Map([["w", f32([3], [Math.PI, -0, 1e-42])]]);
    await save(1);
    await saveState(folder, 2, odd, RUN, 2);
    expect(await loadLatestState(folder, RUN)).toEqual({ step: 2, state: odd });
  });

  test("keeps the newest ones only", async () => {
    for (const step of [4, 8, 12]) await save(step);
    expect((await readdir(folder)).sort()).toEqual([fileOf(8), fileOf(12)].map((f) => f.split("/").at(-1)));
  });

  test("that is empty or not there is a fresh start", async () => {
    expect(await loadLatestState(folder, RUN)).toBeUndefined();
    expect(await loadLatestState(join(folder, "none"), RUN)).toBeUndefined();
  });

  test("what a kill left half written is not taken for a checkpoint, and removed", async () => {
    await save(4);
    const half = ".step-00000008.safetensors.0123456789ab.tmp";
    await writeFile(join(folder, half), (await readFile(fileOf(4))).subarray(0, 20));
    await writeFile(join(folder, "notes.txt"), "mine");
    expect((await loadLatestState(folder, RUN))?.step).toBe(4);
    await removeUnfinished(folder);
    expect((await readdir(folder)).sort()).toEqual(["notes.txt", "step-00000004.safetensors"]);
  });
});

describe("a damaged checkpoint", () => {
  test.each([
    ["cut in its data", () => truncate(fileOf(8), 150)],
    ["cut in its header", () => truncate(fileOf(8), 5)],
    ["empty", () => truncate(fileOf(8), 0)],
    ["of other bytes", () => writeFile(fileOf(8), "not a checkpoint, but long enough to have a header")],
    ["renamed from another step", () => copyFile(fileOf(4), fileOf(8))],
  ])("%s is passed over and told", async (_, damage) => {
    await save(4);
    await save(8);
    await damage();
    const told: string[] = [];
    const saved = await loadLatestState(folder, RUN, (path, reason) => told.push(path, reason));
    expect(saved).toEqual({ step: 4, state: stateAt(4) });
    expect(told[0]).toBe(fileOf(8));
    expect(told[1]).toContain("step-00000008");
  });

  test("does not push out those that can be read", async () => {
    await save(4);
    await save(8);
    await truncate(fileOf(8), 5);
    await save(5);
    await save(6);
    expect((await loadLatestState(folder, RUN))?.step).toBe(6);
  });

  test("is not replaced by a beginning from scratch when there is no other", async () => {
    await save(4);
    await truncate(fileOf(4), 5);
    await expect(loadLatestState(folder, RUN)).rejects.toThrow(CheckpointError);
    await expect(loadLatestState(folder, RUN)).rejects.toThrow(
      /none of its 1 checkpoints can be read.*remove/,
    );
  });
});

describe("a checkpoint of another run", () => {
  test("is an error that names what differs", async () => {
    await save(4);
    const other = { ...RUN, recipe: JSON.stringify({ seed: 1, optimizer: { betas: [0.9, 0.99] } }) };
    const load = loadLatestState(folder, other);
    await expect(load).rejects.toThrow(ConfigError);
    await expect(load).rejects.toThrow(/another run \(step 4\), which differs in seed, optimizer\.betas/);
  });

  test("is one whose manifest was changed", async () => {
    await save(4);
    const load = loadLatestState(folder, { ...RUN, manifest: "def" });
    await expect(load).rejects.toThrow(/the contents of data\.manifest/);
  });
});
