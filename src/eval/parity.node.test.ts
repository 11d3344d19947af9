import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { castFloat, f32, type HostTensor, i64 } from "../core/array.ts";
import { CheckpointError, ConfigError, UsageError } from "../core/errors.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";
import { writeSafetensors } from "../weights/write-safetensors.node.ts";
import { type ParityOutput, runParity } from "./parity.node.ts";
import type { ParityProgress } from "./parity-case.ts";

/** Made by test/parity/make_parity_case.py: f16 weights, expected outputs in f32. */
const CASE = fileURLToPath(new URL("../../test/fixtures/parity-case", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "parity-"));
  await cp(CASE, folder, { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));

async function parity(path = folder): Promise<Map<string, ParityOutput>> {
  const results = new Map<string, ParityOutput>();
  for await (const result of runParity(path, { threads: 1 })) results.set(result.name, result);
  return results;
}

async function tensorsOf(path: string): Promise<Map<string, HostTensor>> {
  const file = await openSafetensors(path);
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of file.tensors) tensors.set(key, await file.read(source));
  return tensors;
}

const caseFile = () => join(folder, "case.safetensors");

/** Rewrites the case with some tensors replaced or added. */
async function changeCase(changes: Readonly<Record<string, HostTensor>>): Promise<void> {
  await writeSafetensors(caseFile(), new Map([...(await tensorsOf(caseFile())), ...Object.entries(changes)]));
}

const names = (results: ReadonlyMap<string, ParityOutput>, status: ParityOutput["status"]) =>
  [...results.values()].filter((r) => r.status === status).map((r) => r.name);

function expectAllOk(results: ReadonlyMap<string, ParityOutput>): void {
  expect(results.size).toBe(EXPECTED);
  const wrong = [...results.values()].filter((r) => r.status !== "ok");
  expect(wrong).toEqual([]);
}

/** Three outputs, the losses, the norm, a gradient of each of 66 parameters, and all but two of them trained. */
const EXPECTED = 3 + 2 + 66 + 64;

describe("the weights of a case may be", () => {
  test("f16 in one file", async () => {
    expectAllOk(await parity());
  });

  test("f32 in shards", async () => {
    const half = await tensorsOf(join(folder, "model.safetensors"));
    await rm(join(folder, "model.safetensors"));
    const full = new Map([...half].map(([key, t]) => [key, castFloat(t, "f32")]));
    await writeSafetensors(join(folder, "model.safetensors"), full, { maxShardBytes: 20_000 });
    expect((await readdir(folder)).filter((n) => n.startsWith("model-")).length).toBeGreaterThan(2);
    expectAllOk(await parity());
  });

  test("a .pth in the stand-alone names, alone in the folder or named", async () => {
    expectAllOk(await parity(join(folder, "internvl_c.pth")));
    await rm(join(folder, "model.safetensors"));
    expectAllOk(await parity());
  });
});

describe("an output that differs", () => {
  test.each(["c_text", "stage1.losses", "stage1.grad.text_projection", "stage1.after5.logit_scale"])(
    "%s fails, and it alone",
    async (name) => {
      const expected = (await tensorsOf(caseFile())).get(name)! as HostTensor<"f32">;
      const values = Float32Array.from(expected.data);
      const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      values[values.length - 1]! += 0.004 * largest;
      await changeCase({ [name]: f32(expected.shape, values) });
      const results = await parity();
      expect(names(results, "fail")).toEqual([name]);
      expect(results.get(name)!.maxAbs).toBeCloseTo(0.004 * largest, 5);
    },
  );

  test("in shape or by NaN fails", async () => {
    const { shape, data } = (await tensorsOf(caseFile())).get("c_image")! as HostTensor<"f32">;
    const broken = Float32Array.from(data).fill(Number.NaN, 0, 1);
    await changeCase({ c_image: f32(shape, broken), c_text: f32([2], [1, 2]) });
    expect(names(await parity(), "fail").sort()).toEqual(["c_image", "c_text"]);
  });
});

describe("what cannot be computed", () => {
  test("is unsupported beside what can", async () => {
    await changeCase({ g_image: f32([5, 14], new Float32Array(70)), "caption.greedy": i64([1], [1]) });
    const results = await parity();
    expect(names(results, "unsupported").sort()).toEqual(["caption.greedy", "g_image"]);
    expect(names(results, "ok")).toHaveLength(EXPECTED);
  });

  test("is all of another family of models", async () => {
    await writeFile(join(folder, "config.json"), JSON.stringify({ model_type: "internvideo" }));
    const results = await parity();
    expect(names(results, "unsupported")).toHaveLength(results.size);
  });
});

describe("a comparison", () => {
  test("tells how far it is, and each output as soon as it is there", async () => {
    await changeCase({ "a.later.output": i64([1], [1]) });
    const log: string[] = [];
    const onProgress = ({ phase, done, total }: ParityProgress) => log.push(`${phase} ${done}/${total}`);
    for await (const { name } of runParity(folder, { threads: 1, onProgress })) log.push(name);
    const at = (text: string) => log.indexOf(text);
    expect(log[0]).toMatch(/^loading 0\/\d+$/);
    expect(log[1]).toBe("computing 0/69");
    const training = Array.from({ length: 5 }, (_, i) => `training ${i}/5`);
    expect(log.slice(at("training 0/5"), at("training 4/5") + 1)).toEqual(training);
    expect(at("c_image")).toBeLessThan(at("training 0/5"));
    expect(at("stage1.losses")).toBeGreaterThan(at("training 4/5"));
    expect(log.at(-1)).toBe("a.later.output");
  });

  test.each([
    ["computing", ["loading", "computing"]],
    ["training", ["loading", "computing", "training", "training"]],
  ] as const)("that is stopped while %s goes no further", async (when, expected) => {
    const abort = new AbortController();
    const phases: string[] = [];
    const onProgress = ({ phase, done }: ParityProgress) => {
      phases.push(phase);
      // In the middle of the steps.
      if (phase === when && (phase !== "training" || done === 1)) abort.abort(new Error("enough"));
    };
    const run = async () => {
      for await (const _ of runParity(folder, { threads: 1, signal: abort.signal, onProgress }));
    };
    await expect(run()).rejects.toThrow("enough");
    expect(phases).toEqual(expected);
  });
});

describe("a case that cannot be used", () => {
  test("because there is none", async () => {
    await rm(caseFile());
    await expect(parity()).rejects.toThrow(UsageError);
    await expect(parity(join(folder, "nowhere"))).rejects.toThrow(UsageError);
  });

  test("because the configuration is broken is no matter of support", async () => {
    await writeFile(join(folder, "config.json"), JSON.stringify({ model_type: "internvl", depth: 3 }));
    await expect(parity()).rejects.toThrow(ConfigError);
  });

  test("because its inputs are of another model names all that is wrong", async () => {
    await changeCase({
      pixel_values: f32([1, 3, 2, 2], new Float32Array(12)),
      text_ids: i64([1, 2], [1, 99]),
    });
    await expect(parity()).rejects.toThrow(CheckpointError);
    await expect(parity()).rejects.toThrow(/pixel_values: expected f32 \[B, 3, 15, 15\].*text_ids:.*0 to 36/);
  });
});
