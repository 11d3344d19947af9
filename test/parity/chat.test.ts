import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { HostTensor } from "../../src/core/array.ts";
import { type ParityOutput, runParity } from "../../src/eval/parity.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { writeSafetensors } from "../../src/weights/write-safetensors.node.ts";
import { temporaryFolder } from "../temporary-folder.ts";

/** Tiny models in the published formats, with what the original PyTorch implementations gave for them in f32. */
const golden = (name: string) => fileURLToPath(new URL(`./golden/chat/${name}`, import.meta.url));

/** Outputs, the loss and three gradients of fine-tuning, and three generated sequences. */
const GITHUB = [
  "logits",
  "text_logits",
  "vit_embeds",
  "sft.loss",
  "grad",
  "grad",
  "grad",
  "beam3",
  "greedy",
  "greedy_rep",
];
const NATIVE = ["image_features", "logits", "greedy", "greedy_repetition_penalty_1.5"];

async function parity(path: string): Promise<ParityOutput[]> {
  const results: ParityOutput[] = [];
  for await (const result of runParity(path, { threads: 1 })) results.push(result);
  return results;
}

describe("reference cases", () => {
  test.each([
    ["chat-internlm2", GITHUB],
    ["chat-phi3", GITHUB],
    ["chat-qwen2", GITHUB],
    ["hf-gpt_oss", NATIVE],
    ["hf-llama", NATIVE],
    ["hf-qwen3", NATIVE],
    ["hf-qwen3_moe", NATIVE],
  ])("%s", async (name, outputs) => {
    const results = await parity(golden(name));
    expect(results.filter((r) => r.status !== "ok")).toEqual([]);
    const kinds = results.map((r) => r.name.replace(/^sft\.grad\..*/, "grad").replace(/^generate\./, ""));
    expect(kinds.sort()).toEqual([...outputs].sort());
  });
});

/** A copy of a case whose weights have other names or other tensors. */
async function changed(
  name: string,
  change: (tensors: Map<string, HostTensor>) => Map<string, HostTensor>,
): Promise<Awaited<ReturnType<typeof temporaryFolder>>> {
  const folder = await temporaryFolder();
  await cp(golden(name), folder.path, { recursive: true });
  const file = join(folder.path, "model.safetensors");
  const opened = await openSafetensors(file);
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of opened.tensors) tensors.set(key, await opened.read(source));
  await writeSafetensors(file, change(tensors));
  return folder;
}

test("transformers' keys may have the prefix `model.`", async () => {
  const prefixed = (key: string) =>
    key === "language_model.lm_head.weight"
      ? "lm_head.weight"
      : `model.${key.replace("language_model.model.", "language_model.")}`;
  await using folder = await changed(
    "hf-llama",
    (tensors) => new Map([...tensors].map(([key, t]) => [prefixed(key), t])),
  );
  expect((await parity(folder.path)).filter((r) => r.status !== "ok")).toEqual([]);
});

test("a head that the file lacks is the embedding table", async () => {
  const table = "language_model.model.embed_tokens.weight";
  const head = "language_model.lm_head.weight";
  await using tied = await changed("hf-llama", (tensors) => {
    tensors.delete(head);
    return tensors;
  });
  await using same = await changed("hf-llama", (tensors) => tensors.set(head, tensors.get(table)!));
  const greedy = async (path: string) =>
    (await parity(path)).map(({ name, maxAbs }) => [name, maxAbs] as const);
  const worse = await greedy(tied.path);
  expect(worse).toEqual(await greedy(same.path));
  // The case was made with a head of its own.
  expect(worse.find(([name]) => name === "logits")?.[1]).toBeGreaterThan(0.1);
});

test("an architecture or a field that is not known is refused by name", async () => {
  await using folder = await temporaryFolder();
  await cp(golden("chat-qwen2"), folder.path, { recursive: true });
  const file = join(folder.path, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as { llm_config: Record<string, unknown> };
  const refused = async (llm: Record<string, unknown>) => {
    await writeFile(file, JSON.stringify({ ...config, llm_config: { ...config.llm_config, ...llm } }));
    return parity(folder.path);
  };
  await expect(refused({ architectures: ["MambaForCausalLM"] })).rejects.toThrow(
    /llm_config: the language model "MambaForCausalLM" is not known; known are LlamaForCausalLM/,
  );
  await expect(refused({ logit_softcap: 30 })).rejects.toThrow(/Qwen2ForCausalLM:\n.*logit_softcap/);
  await expect(refused({ use_sliding_window: true })).rejects.toThrow(/sliding window is not supported/);
  await expect(refused({ rope_scaling: { type: "mrope", factor: 2 } })).rejects.toThrow(/rope_scaling/);
  await expect(refused({ num_key_value_heads: 3 })).rejects.toThrow(/4 heads of 16 channels in 3 groups/);
});
