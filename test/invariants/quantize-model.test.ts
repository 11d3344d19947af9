import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import type { HostTensor } from "../../src/core/array.ts";
import { CheckpointError, UsageError } from "../../src/core/errors.ts";
import type { Precision, QuantizedPrecision } from "../../src/core/precisions.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { openModel } from "../../src/infer/load-model.node.ts";
import { placeFolder } from "../../src/infer/open-chat-model.node.ts";
import { quantizeModel } from "../../src/infer/quantize-model.node.ts";
import { Quantizer } from "../../src/models/quantizer.ts";
import { createRuntime } from "../../src/runtime/ort.node.ts";
import type { TensorSource } from "../../src/runtime/runtime.ts";
import { readTensor } from "../../src/weights/file-range.node.ts";
import { openCheckpoint } from "../../src/weights/open-checkpoint.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { writeSafetensors } from "../../src/weights/write-safetensors.node.ts";
import { normals } from "../evaluate.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";
import { TINY_CONFIG, tinyWeights } from "./tiny-model.ts";

const golden = (name: string) => fileURLToPath(new URL(`../parity/golden/chat/${name}`, import.meta.url));

/** A model that was quantised into a folder is the model that is quantised when it is loaded. */
const ready = createRuntime({ threads: 1 });
const making = ready.then((runtime) => new Quantizer(runtime));
afterAll(async () => {
  await (await making)[Symbol.asyncDispose]();
  await (await ready)[Symbol.asyncDispose]();
});

async function load(sources: ReadonlyMap<string, TensorSource>): Promise<Map<string, HostTensor>> {
  const out = new Map<string, HostTensor>();
  for (const [key, source] of sources) out.set(key, await readTensor(source));
  return out;
}

const placed = async (path: string, precision?: QuantizedPrecision) =>
  load((await placeFolder(path, await openCheckpoint(path), { precision, quantizer: await making })).weights);

test.each<[string, QuantizedPrecision]>([
  ["chat-qwen2", "w8"],
  ["chat-internlm2", "w4"],
  ["hf-qwen3", "w4"],
  ["hf-llama", "w8a8"],
  ["hf-qwen3_moe", "w8"],
  ["hf-gpt_oss", "w8"],
])("%s in %s", async (name, precision) => {
  await using folder = await temporaryFolder();
  const to = join(folder.path, "made");
  const seen: number[] = [];
  const summary = await quantizeModel(golden(name), to, {
    ...{ precision, threads: 1 },
    onProgress: (done) => seen.push(done),
  });
  expect(summary).toMatchObject({ folder: to, precision });
  expect(seen.at(-1)).toBe(summary.to);
  expect(await placed(to)).toEqual(await placed(golden(name), precision));
});

test("what is stored in a precision is taken in that one or with its other weights in f32, the vision tower too", async () => {
  await using folder = await temporaryFolder();
  const to = join(folder.path, "made");
  await quantizeModel(golden("chat-qwen2"), to, { precision: "w8", threads: 1 });
  const half = await openCheckpoint(to);
  const opened = async (visionPrecision: Precision) =>
    load((await placeFolder(to, half, { visionPrecision, quantizer: await making })).weights);
  expect(await opened("w8")).toEqual(await placed(to));
  const wide = await opened("f32");
  expect(wide.get("vision_model.encoder.layers.0.norm1.weight")!.dtype).toBe("f32");
  await expect(opened("w4")).rejects.toThrow(/stored as w8 and cannot become w4; leave the precision out/);
  await rm(join(to, "config.json"));
  await expect(openCheckpoint(to).then((it) => placeFolder(to, it))).rejects.toThrow(CheckpointError);
});

test("a model that is named by its file, and one whose configuration names no class", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "hf"), join(folder.path, "made")];
  const file = join(golden("chat-qwen2"), "model.safetensors");
  await quantizeModel(file, to, { threads: 1 });
  expect(await placed(to)).toEqual(await placed(file, "w8"));
  const { text_config } = JSON.parse(await readFile(join(golden("hf-qwen3"), "config.json"), "utf8"));
  const { architectures: _, ...config } = text_config;
  const whole = await openSafetensors(join(golden("hf-qwen3"), "model.safetensors"));
  const tensors = [...whole.tensors].flatMap(([key, t]) => {
    const own = /language_model\.(.+)$/.exec(key)?.[1] ?? (key === "lm_head.weight" ? key : undefined);
    return own === undefined ? [] : [[own.replace(/^(?!model\.|lm_head)/, "model."), t] as const];
  });
  await writeSafetensors(join(from, "model.safetensors"), tensors);
  await writeFile(join(from, "config.json"), JSON.stringify({ model_type: "qwen3", ...config }));
  await quantizeModel(from, join(folder.path, "text"), { threads: 1 });
  expect(await placed(join(folder.path, "text"))).toEqual(await placed(from, "w8"));
});

test("a language model alone", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "text"), join(folder.path, "made")];
  const { llm_config } = JSON.parse(await readFile(join(golden("chat-qwen2"), "config.json"), "utf8"));
  const whole = await openSafetensors(join(golden("chat-qwen2"), "model.safetensors"));
  const own = [...whole.tensors].filter(([key]) => key.startsWith("language_model."));
  const tensors = own.map(([key, t]) => [key.replace("language_model.", ""), t] as const);
  await writeSafetensors(join(from, "model.safetensors"), tensors);
  await writeFile(join(from, "config.json"), JSON.stringify(llm_config));
  await quantizeModel(from, to, { precision: "w4", threads: 1 });
  expect(await placed(to)).toEqual(await placed(from, "w4"));
});

test("InternVL-C", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "c"), join(folder.path, "made")];
  await writeSafetensors(join(from, "model.safetensors"), tinyWeights());
  await writeFile(join(from, "config.json"), JSON.stringify(TINY_CONFIG));
  await quantizeModel(from, to, { threads: 1 });
  const quantizer = await making;
  const expected = await openModel(from, { precision: "w8", quantizer });
  expect(await load((await openModel(to)).weights)).toEqual(await load(expected.weights));
});

test("adapters are merged, and the configuration says so", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "adapted"), join(folder.path, "made")];
  await cp(golden("chat-qwen2"), from, { recursive: true });
  const file = join(from, "model.safetensors");
  const layer = "language_model.base_model.model.model.layers.0.mlp.up_proj";
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of (await openSafetensors(file)).tensors) {
    const wrapped = key.replace("language_model.", "language_model.base_model.model.");
    const tensor = await readTensor(source);
    if (wrapped !== `${layer}.weight`) tensors.set(wrapped, tensor);
    else {
      const [rows, columns] = tensor.shape as [number, number];
      tensors.set(`${layer}.base_layer.weight`, tensor);
      tensors.set(`${layer}.lora_A.default.weight`, normals("A", [2, columns]));
      tensors.set(`${layer}.lora_B.default.weight`, normals("B", [rows, 2]));
    }
  }
  await writeSafetensors(file, tensors);
  const config = JSON.parse(await readFile(join(from, "config.json"), "utf8"));
  await writeFile(join(from, "config.json"), JSON.stringify({ ...config, use_llm_lora: 2 }));
  await quantizeModel(from, to, { threads: 1 });
  expect(JSON.parse(await readFile(join(to, "config.json"), "utf8"))).toMatchObject({ use_llm_lora: 0 });
  const made = await placed(to);
  expect(made).toEqual(await placed(from, "w8"));
  expect(made).not.toEqual(await placed(golden("chat-qwen2"), "w8"));
});

test("the folder answers as the model does in this precision, with all that belongs to it", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "tiny"), join(folder.path, "made")];
  await writeTinyChat(from);
  await writeFile(join(from, "LICENSE"), "MIT");
  await writeFile(join(from, "modeling_internvl_chat.py"), "raise SystemExit");
  await writeFile(join(from, "passwords.txt"), "mine");
  // What a process that was killed left, and an empty folder in its place.
  await mkdir(to);
  await mkdir(`${to}.partial`);
  await writeFile(join(`${to}.partial`, "tokenizer.model"), "of another model");
  await quantizeModel(from, to, { threads: 1 });
  const own = (await readdir(from)).filter((name) => !/\.py$|^passwords/.test(name));
  expect((await readdir(to)).sort()).toEqual(own.sort());
  expect((await readdir(folder.path)).sort()).toEqual(["made", "tiny"]);
  const says = async (path: string, precision?: "w8") => {
    await using model = await loadChatModel(path, { threads: 1, ...(precision && { precision }) });
    let text = "";
    for await (const chunk of model.chat([{ role: "user", content: "Hello" }], {
      temperature: 0,
      maxTokens: 12,
    }))
      text += chunk.text;
    return text;
  };
  expect(await says(to)).toBe(await says(from, "w8"));
});

test("a folder that holds a model, a .gguf file and what is quantised already are refused", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "tiny"), join(folder.path, "made")];
  await writeTinyChat(from);
  const refused = async (path: string, where: string, message: RegExp) => {
    const quantizing = quantizeModel(path, where, { threads: 1 });
    await expect(quantizing).rejects.toThrow(UsageError);
    await expect(quantizing).rejects.toThrow(message);
  };
  await refused(from, from, /tiny: there is something in it \(.*\); name a new folder/);
  await refused(from, join(from, "config.json"), /config\.json: expected a folder, .*ENOTDIR/);
  await refused(from, "", /the name of the folder is empty/);
  await refused(join(folder.path, "model.gguf"), to, /a \.gguf file is used as it is/);
  await quantizeModel(from, to, { threads: 1 });
  await refused(to, join(folder.path, "again"), /made: its weights are quantised already \(w8\)/);
});

test("what was stopped leaves no weights behind", async () => {
  await using folder = await temporaryFolder();
  const [from, to] = [join(folder.path, "tiny"), join(folder.path, "made")];
  await writeTinyChat(from);
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("stopped"));
  const quantizing = quantizeModel(from, to, { threads: 1, signal: stop.signal, onProgress });
  await expect(quantizing).rejects.toThrow("stopped");
  expect(await readdir(folder.path)).toEqual(["tiny"]);
});
