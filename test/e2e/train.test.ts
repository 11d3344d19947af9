import { type ChildProcess, spawn } from "node:child_process";
import { rmSync, watch, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HostTensor, rawBytes } from "../../src/core/array.ts";
import { ConfigError, MediaError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { loadEmbedder } from "../../src/infer/load-model.node.ts";
import { parseSentencePieceModel } from "../../src/text/sentencepiece-model.ts";
import { type TrainOptions, train } from "../../src/train/train.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { ended, startCli } from "./cli-process.ts";
import { losses, makeWorkplace, recipeOf, sha256, writeRecipe } from "./train-support.ts";

/** Whole trainings of a tiny model, each compared with a run that nothing disturbed. */

const PROCESS = fileURLToPath(new URL("./train-process.ts", import.meta.url));
const STEPS = 30;
const PLAIN = { phases: [{ steps: STEPS }], checkpoint_every: 1000 };

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const model = (name: string) => at(name, "model.safetensors");

/** Trains a recipe on one thread: the same bits on every run. */
async function run(name: string, changes: object = {}, options: TrainOptions = {}): Promise<string> {
  const recipe = await writeRecipe(folder, name, { ...changes });
  return (await train(recipe, { threads: 1, ...options })).output;
}

async function tensorsOf(path: string): Promise<Map<string, HostTensor>> {
  const file = await openSafetensors(path);
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of file.tensors) tensors.set(key, await file.read(source));
  return tensors;
}

beforeAll(async () => {
  folder = await makeWorkplace();
  await run("plain", PLAIN);
});
afterAll(() => rm(folder, { recursive: true }));

describe("a training", () => {
  test("learns: the loss of the last steps is far below that of chance", async () => {
    const all = await losses(at("plain"));
    expect(all).toHaveLength(STEPS);
    const last = all.slice(-5).reduce((a, b) => a + b, 0) / 5;
    // ln 8 = 2.08 is what guessing among eight gives.
    expect(last).toBeLessThan(1);
  });

  test("with the same seed gives the same losses and weights, bit for bit; with another, others", async () => {
    await run("again", PLAIN);
    expect(await losses(at("again"))).toEqual(await losses(at("plain")));
    expect(await sha256(model("again"))).toBe(await sha256(model("plain")));
    await run("other", { phases: [{ steps: 1 }], warmup_steps: 1, seed: 4 });
    expect((await losses(at("other")))[0]).not.toBe((await losses(at("plain")))[0]);
  });

  test("that recomputes its layers computes the same up to rounding", async () => {
    const warmup_steps = 6;
    await run("kept", { phases: [{ steps: 6 }], warmup_steps });
    await run("recomputed", { phases: [{ steps: 6 }], warmup_steps, recompute: true });
    const [kept, recomputed] = [await losses(at("kept")), await losses(at("recomputed"))];
    expect(recomputed[0]).toBeCloseTo(kept[0]!, 5);
    // AdamW passes the rounding of small gradients on, so the runs drift apart slowly.
    for (const [i, loss] of recomputed.entries()) expect(Math.abs(loss / kept[i]! - 1)).toBeLessThan(2e-3);
  });

  test("writes a model that embeds, with its tokenizer, also in 8 bits", async () => {
    await run("eight", {
      init: "plain",
      phases: [{ steps: 1 }],
      warmup_steps: 0,
      optimizer: { groups: [{ name: "all", match: ["*"], lr: 1e-7 }] },
      export_precision: "w8",
    });
    await using full = await loadEmbedder(at("plain"), { threads: 1 });
    await using eight = await loadEmbedder(at("eight"), { threads: 1 });
    const [a] = await full.embedTexts(["red circle"]);
    const [b] = await eight.embedTexts(["red circle"]);
    const cosine = a!.reduce((sum, x, i) => sum + x * b![i]!, 0);
    // Hardly trained further, and rounded to 8 bits: near, and not the same.
    expect(cosine).toBeGreaterThan(0.99);
    expect([...b!]).not.toEqual([...a!]);
  });
});

describe("groups and weights to start from", () => {
  const tuned = {
    init: "plain",
    phases: [{ steps: 4 }],
    warmup_steps: 0,
    checkpoint_every: 1000,
    drop_path: 0.2,
    optimizer: { groups: [{ name: "heads", match: ["clip_projector.*", "logit_scale"], lr: 0.001 }] },
  };

  test("parameters of no group stay as they were, bit for bit; the others move", async () => {
    await run("tuned", tuned);
    const [before, after] = [await tensorsOf(model("plain")), await tensorsOf(model("tuned"))];
    expect([...after.keys()]).toEqual([...before.keys()]);
    const moved = [...before.keys()].filter(
      (key) => Buffer.compare(rawBytes(before.get(key)!), rawBytes(after.get(key)!)) !== 0,
    );
    expect(moved.every((key) => /^(clip_projector\.|logit_scale)/.test(key))).toBe(true);
    expect(moved).toContain("logit_scale");
    expect(moved).toContain("clip_projector.cross_attn.v.weight");
  });

  test("a resumed run reads the frozen weights again", async () => {
    await interrupt("tuned-twice", tuned, 2);
    await run("tuned-twice", tuned);
    expect(await sha256(model("tuned-twice"))).toBe(await sha256(model("tuned")));
  });
});

/** Starts a training and aborts it after a step; expects the reason to come out. */
async function interrupt(name: string, changes: object, afterStep: number): Promise<void> {
  const cancel = new AbortController();
  const stopped = run(name, changes, {
    signal: cancel.signal,
    onProgress: ({ step }) => {
      if (step === afterStep) cancel.abort(new Error("stopped by the test"));
    },
  });
  await expect(stopped).rejects.toThrow("stopped by the test");
}

describe("a training that is stopped", () => {
  test("saves what it has learned and goes on to the same weights", async () => {
    await interrupt("stopped", PLAIN, 5);
    expect(await readdir(at("stopped", "checkpoints"))).toEqual(["step-00000005.safetensors"]);
    await run("stopped", PLAIN);
    expect(await losses(at("stopped"))).toEqual(await losses(at("plain")));
    expect(await sha256(model("stopped"))).toBe(await sha256(model("plain")));
  });

  test("by Ctrl-C on the command line saves a checkpoint, too", async () => {
    const recipe = await writeRecipe(folder, "ctrl-c", PLAIN);
    const child = startCli(["train", recipe, "--threads", "1", "--json"], { real: true });
    child.stdout!.on("data", (text) => {
      if (String(text).includes('"step":2,')) child.kill("SIGINT");
    });
    expect((await ended(child)).code).toBe(130);
    const steps = (await losses(at("ctrl-c"))).length;
    expect(steps).toBeLessThan(STEPS);
    const name = `step-${String(steps).padStart(8, "0")}.safetensors`;
    expect(await readdir(at("ctrl-c", "checkpoints"))).toEqual([name]);
    await run("ctrl-c", PLAIN);
    expect(await sha256(model("ctrl-c"))).toBe(await sha256(model("plain")));
  }, 300_000);

  test("because its pictures are gone says so, and goes on when they are back", async () => {
    const uncached = { ...PLAIN, data: { ...(recipeOf().data as object), cache_mb: 0 } };
    const stopped = run("gone", uncached, {
      onProgress: ({ step }) => {
        if (step === 3) moved = rename(at("pictures"), at("elsewhere"));
      },
    });
    let moved = Promise.resolve();
    await expect(stopped).rejects.toThrow(MediaError);
    await moved;
    await rename(at("elsewhere"), at("pictures"));
    expect(await readdir(at("gone", "checkpoints"))).toHaveLength(1);
    await run("gone", uncached);
    expect(await sha256(model("gone"))).toBe(await sha256(model("plain")));
  });

  test("because it diverged says so and keeps nothing of it", async () => {
    const wild = { optimizer: { groups: [{ name: "all", match: ["*"], lr: 1e30 }] }, checkpoint_every: 1 };
    await expect(run("wild", wild)).rejects.toThrow(ConfigError);
    const saved = await readdir(at("wild", "checkpoints"));
    for (const name of saved) {
      const tensors = await tensorsOf(at("wild", "checkpoints", name));
      for (const { data } of tensors.values())
        expect((data as Float32Array).every((x) => !Number.isNaN(x))).toBe(true);
    }
  });

  test("and cannot be saved tells both", async () => {
    const cancel = new AbortController();
    const stopped = run("unsaved", PLAIN, {
      signal: cancel.signal,
      onProgress: ({ step }) => {
        if (step !== 3) return;
        rmSync(at("unsaved", "checkpoints"), { recursive: true, force: true });
        writeFileSync(at("unsaved", "checkpoints"), "in the way");
        cancel.abort(new Error("stopped by the test"));
      },
    });
    await expect(stopped).rejects.toThrow(/stopped by the test; steps 1 to 3 are lost, .* (EEXIST|ENOTDIR)/);
  });

  test("is not continued with another recipe", async () => {
    const other = { ...PLAIN, batch_size: 7, seed: 9 };
    await writeRecipe(folder, "mixed", PLAIN);
    await interrupt("mixed", PLAIN, 1);
    await expect(run("mixed", other)).rejects.toThrow(
      /another run \(step 1\), which differs in seed, batch_size/,
    );
  });
});

test("text pairs reach the tokenizer and the loss, and a run goes on with the same ones alone", async () => {
  const pairs = ["zebra|quadruped", "circle|disc", "square|box"].map((line) => {
    return `${JSON.stringify({ texts: line.split("|") })}\n`;
  });
  await writeFile(join(folder, "pairs.jsonl"), pairs.join(""));
  const data = { ...(recipeOf().data as object), text_pairs: { file: "pairs.jsonl", batch_size: 2 } };
  const PAIRED = { ...PLAIN, data };
  await run("paired", PAIRED);
  expect((await losses(at("paired")))[0]).toBeGreaterThan((await losses(at("plain")))[0]! + 0.1);
  const { pieces } = parseSentencePieceModel(await readFile(at("paired", "tokenizer.model")));
  expect(pieces.map(({ piece }) => piece)).toContain("z"); // of "zebra"; no caption has one
  await interrupt("paired-2", PAIRED, 5);
  await run("paired-2", PAIRED);
  expect(await sha256(model("paired-2"))).toBe(await sha256(model("paired")));

  await interrupt("paired-3", PAIRED, 1);
  await writeFile(join(folder, "pairs.jsonl"), pairs.slice(0, 2).join(""));
  await expect(run("paired-3", PAIRED)).rejects.toThrow(
    "differs in the contents of data.manifest or data.text_pairs",
  );
});

/** Kills the process at once when a file whose name matches appears in a folder. */
async function killOnFile(child: ChildProcess, place: string, name: RegExp): Promise<void> {
  await mkdir(place, { recursive: true });
  const watcher = watch(place, (_, file) => {
    if (file !== null && name.test(file)) child.kill("SIGKILL");
  });
  child.on("close", () => watcher.close());
}

function killAfterStep(child: ChildProcess, step: number, delayMs: number): void {
  child.stdout!.on("data", (text) => {
    if (new RegExp(`^step ${step}$`, "m").test(String(text)))
      void sleep(delayMs).then(() => child.kill("SIGKILL"));
  });
}

test("killed again and again, also while it writes, a training ends in the same bits", async () => {
  const phases = [
    { steps: 6, keep_patches: 0.5, image_size: 12 },
    { steps: 8, keep_patches: 0.7 },
    { steps: 2 },
  ];
  const changes = { phases, drop_path: 0.1, checkpoint_every: 1, keep_checkpoints: 2 };
  await run("whole", changes);
  const recipe = await writeRecipe(folder, "killed", changes);
  const rng = new Rng("kills");
  const ways: ((child: ChildProcess) => void | Promise<void>)[] = [
    (child) => killOnFile(child, at("killed"), /^tokenizer/),
    (child) => killAfterStep(child, 2, 40 * rng.uniform()),
    (child) => killAfterStep(child, 6, 5 * rng.uniform()), // about where the picture size changes
    (child) => killOnFile(child, at("killed", "checkpoints"), /^\.step-0000001\d.*\.tmp$/),
    (child) => killOnFile(child, at("killed"), /^\.model\.safetensors\..*\.tmp$/),
  ];
  for (const kill of ways) {
    const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), PROCESS, recipe], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const end = new Promise((resolve) => child.on("close", (_, signal) => resolve(signal)));
    await kill(child);
    expect(await end).toBe("SIGKILL");
  }
  await run("killed", changes);
  expect(await sha256(model("killed"))).toBe(await sha256(model("whole")));
  expect(await losses(at("killed"))).toEqual(await losses(at("whole")));
  expect(await readFile(at("killed", "config.json"), "utf8")).toBe(
    await readFile(at("whole", "config.json"), "utf8"),
  );
  const left = [...(await readdir(at("killed"))), ...(await readdir(at("killed", "checkpoints")))];
  expect(left.filter((name) => name.endsWith(".tmp"))).toEqual([]);
}, 600_000);
