import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { f32, type HostTensor } from "../../src/core/array.ts";
import { type ParityOutput, runParity } from "../../src/eval/parity.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { writeSafetensors } from "../../src/weights/write-safetensors.node.ts";
import { normals } from "../evaluate.ts";
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
    // No biases, windows in other layers, an end of text within the answer.
    ["hf-gpt_oss-plain", NATIVE],
    // A file in f16, an inner layer of the tower, stretched angles.
    ["hf-llama3", NATIVE],
    // Beyond the length that it was trained with, and beyond its window.
    ["hf-phi3", NATIVE],
    // The 6B tower's norms with an epsilon of their own, files in bf16 and in parts, a layer without experts.
    ["hf-qwen3_moe-mixed", NATIVE],
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

/** Layers that fine-tuning by adapters changes (internvl/model/internvl_chat/modeling_internvl_chat.py, wrap_*_lora). */
const ADAPTED = {
  vision_model: /\.(attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)$/,
  language_model: /\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.(weight|bias)$/,
};

/**
 * The tensors of a file as fine-tuning saves them: random adapters beside a weight that lacks what they add, in double
 * precision, so that the whole is what it was.
 */
function withAdapters(
  tensors: ReadonlyMap<string, HostTensor>,
  tower: keyof typeof ADAPTED,
  rank: number,
): Map<string, HostTensor> {
  const out = new Map<string, HostTensor>();
  for (const [key, t] of tensors) {
    const wrapped = key.replace(`${tower}.`, `${tower}.base_model.model.`);
    const [layer, kind] = [wrapped.replace(/\.\w+$/, ""), wrapped.replace(/.*\./, "")];
    if (!key.startsWith(`${tower}.`) || !ADAPTED[tower].test(key)) out.set(wrapped, t);
    else if (kind === "bias") out.set(`${layer}.base_layer.bias`, t);
    else {
      const [rows, columns] = t.shape as [number, number];
      const [A, B] = [normals(`${key} A`, [rank, columns]), normals(`${key} B`, [rows, rank])];
      const base = Float32Array.from(t.data as Float32Array, (w, n) => {
        const [o, i] = [Math.floor(n / columns), n % columns];
        let product = 0;
        for (let r = 0; r < rank; r++) product += B.data[o * rank + r]! * A.data[r * columns + i]!;
        return w - 2 * product;
      });
      out.set(`${layer}.base_layer.weight`, f32(t.shape, base));
      out.set(`${layer}.lora_A.default.weight`, A);
      out.set(`${layer}.lora_B.default.weight`, B);
    }
  }
  return out;
}

test.each([
  ["language_model", "use_llm_lora"],
  ["vision_model", "use_backbone_lora"],
] as const)("adapters of %s that were not merged are merged", async (tower, field) => {
  await using folder = await changed("chat-qwen2", (tensors) => withAdapters(tensors, tower, 3));
  const file = join(folder.path, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  await expect(parity(folder.path)).rejects.toThrow(`${field} is 0 and the file has adapters of rank 3`);
  await writeFile(file, JSON.stringify({ ...config, [field]: 3 }));
  expect((await parity(folder.path)).filter((r) => r.status !== "ok")).toEqual([]);
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
