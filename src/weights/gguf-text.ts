import { CheckpointError } from "../core/errors.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import type { Checkpoint } from "./checkpoint.ts";
import {
  checkpointOf,
  expertStack,
  type GgmlTensor,
  inFile,
  interleaveRows,
  joinRows,
  pickRows,
  sourceOf,
  unstack,
} from "./ggml-rows.ts";
import type { GgufFile, GgufTensor } from "./gguf.ts";
import { underPublishedNames } from "./gguf-names.ts";
import { type GgufTextConfig, readTextConfig } from "./gguf-text-config.ts";
import { type TextArchitecture, textArchitecture } from "./gguf-text-keys.ts";

/** A language model of a GGUF file, under the names of transformers (InternLM2: of its own published code). */
export interface GgufText {
  readonly checkpoint: Checkpoint;
  /** In the fields of a published `config.json`; not yet validated by a model. */
  readonly config: GgufTextConfig;
}

/**
 * The language model of a file that llama.cpp's converter wrote: names, row orders and joined weights as they were
 * published, and the configuration from the metadata. Quantised weights stay quantised: their sources are
 * `BlockTensor`s. Reads small tables only. Throws a CheckpointError for other architectures and for tensors that are
 * unknown, incomplete or of sizes that contradict the metadata.
 */
export async function ggufText(file: GgufFile): Promise<GgufText> {
  const architecture = textArchitecture(file);
  const config = await readTextConfig(file, architecture);
  const tensors = new Map<string, TensorSource>();
  for (const [key, parts] of underPublishedNames(file.name, file.tensors, architecture.keys))
    for (const [name, source] of published(file, architecture, config, key, parts)) tensors.set(name, source);
  return { checkpoint: checkpointOf(file, tensors), config };
}

/** The published tensors that one of our keys stands for. */
function published(
  file: GgufFile,
  { experts, grouped, permuted }: TextArchitecture,
  config: GgufTextConfig,
  key: string,
  parts: readonly GgufTensor[],
): [string, TensorSource][] {
  const stored = parts.map((t) => inFile(file, t));
  const [first] = stored as [GgmlTensor];
  if (key.includes(".experts."))
    return experts === "fused" ? [fusedExperts(file, key, parts)] : eachExpert(file, key, parts[0]!);
  const heads = { q: config.num_attention_heads, k: config.num_key_value_heads };
  if (grouped && parts.length === 3) {
    checkRows(file, key, stored, config);
    return [[key, sourceOf(pickRows(stored, groupedOrder(config)))]];
  }
  const head = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(key)?.[1] as "q" | "k" | undefined;
  if (!permuted || head === undefined) return [[key, sourceOf(first)]];
  if (first.shape[0] !== heads[head] * config.head_dim)
    throw new CheckpointError(
      `${file.name}: ${key} has ${first.shape[0]} rows, the metadata says ${heads[head]} heads of ${config.head_dim}`,
    );
  return [[key, sourceOf(pickRows([first], halvesOrder(heads[head], config.head_dim)))]];
}

/**
 * Row of the file for each published row of a head: llama.cpp rotates neighbours, the published code rotates halves,
 * so its converter puts row j of the second half after row j of the first.
 */
const fileRow = (d: number, head_dim: number): number =>
  d < head_dim / 2 ? 2 * d : 2 * (d - head_dim / 2) + 1;

const halvesOrder = (heads: number, head_dim: number): number[] =>
  Array.from({ length: heads * head_dim }, (_, row) => {
    const d = row % head_dim;
    return row - d + fileRow(d, head_dim);
  });

/** InternLM2's wqkv: for each key-value head its queries, its key, its value. */
function groupedOrder({
  num_attention_heads: H,
  num_key_value_heads: KV,
  head_dim: D,
}: GgufTextConfig): number[] {
  const perGroup = H / KV;
  const order: number[] = [];
  for (let g = 0; g < KV; g++) {
    for (let q = 0; q < perGroup; q++)
      for (let d = 0; d < D; d++) order.push((g * perGroup + q) * D + fileRow(d, D));
    for (let d = 0; d < D; d++) order.push((H + g) * D + fileRow(d, D));
    for (let d = 0; d < D; d++) order.push((H + KV + g) * D + d);
  }
  return order;
}

function checkRows(file: GgufFile, key: string, parts: readonly GgmlTensor[], config: GgufTextConfig): void {
  const { num_attention_heads: H, num_key_value_heads: KV, head_dim: D } = config;
  const found = parts.map((p) => p.shape[0]);
  const wanted = [H * D, KV * D, KV * D];
  if (found.join() !== wanted.join() || H % KV !== 0)
    throw new CheckpointError(
      `${file.name}: ${key} is made of ${found.join(", ")} rows, the metadata says ${wanted.join(", ")}`,
    );
}

/** A stack of experts as the tensors of each: `…experts.gate_proj.weight` -> `…experts.0.gate_proj.weight`, … */
const eachExpert = (file: GgufFile, key: string, stack: GgufTensor): [string, TensorSource][] =>
  unstack(stack).map((tensor, e) => [
    key.replace(".experts.", `.experts.${e}.`),
    sourceOf(inFile(file, tensor)),
  ]);

/** GPT-OSS: experts x·W instead of x·Wᵀ, columns of gate and up in turns; biases [E, out] likewise. */
function fusedExperts(file: GgufFile, key: string, parts: readonly GgufTensor[]): [string, TensorSource] {
  const isBias = key.endsWith("_bias");
  const rank = isBias ? 2 : 3;
  if (parts.some((p) => p.shape.length !== rank || p.shape.join() !== parts[0]!.shape.join()))
    throw new CheckpointError(
      `${file.name}: ${key} must be made of equal tensors of rank ${rank}, found ${parts.map((p) => `[${p.shape}]`).join(" and ")}`,
    );
  const stacks = parts.map(unstack);
  const rows = stacks[0]!.map((_, e) =>
    interleaveRows(
      stacks.map((stack) => inFile(file, stack[e]!, isBias ? [...stack[e]!.shape, 1] : undefined)),
    ),
  );
  if (!isBias) return [key, expertStack(rows)];
  return [key, sourceOf({ ...joinRows(rows), shape: [rows.length, rows[0]!.shape[0]!] })];
}
