import { f32, type HostTensor, toF32 } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { sameShape, showShape } from "../core/shape.ts";
import type { TensorSource } from "../runtime/runtime.ts";
import { canCast } from "./cast.ts";
import { type Checkpoint, firstOf } from "./checkpoint.ts";

/** Ranks of the adapters of a file, by the part of the model that has them, as the configuration says; 0 for none. */
export interface LoraRanks {
  readonly use_backbone_lora: number;
  readonly use_llm_lora: number;
}

const TOWERS = [
  { tower: "vision_model", field: "use_backbone_lora" },
  { tower: "language_model", field: "use_llm_lora" },
] as const;

/** alpha / rank: InternVL trains with alpha = 2 · rank (internvl_chat/tools/merge_lora.py). */
const SCALE = 2;

/** A layer's weight and what was trained beside it. */
interface Adapted {
  base?: TensorSource;
  A?: TensorSource;
  B?: TensorSource;
}

const PARTS = {
  "base_layer.weight": "base",
  "lora_A.default.weight": "A",
  "lora_B.default.weight": "B",
} as const;

/**
 * A checkpoint of plain keys from one whose adapters (LoRA, arXiv:2106.09685, in the names of Hugging Face's peft) were
 * not merged: `language_model.base_model.model.….{base_layer,lora_A.default,lora_B.default}.weight`, in vision_model
 * likewise; peft before 0.6 had no base_layer in a layer's own weight and bias. Weights are W + 2·B·A, in f32, made when they are loaded. A file without adapters is given back. Throws a
 * CheckpointError for adapters that are not whole or do not fit, a ConfigError for ranks other than the configuration's.
 */
export function mergeLora(checkpoint: Checkpoint, ranks: LoraRanks): Checkpoint {
  const problems: string[] = [];
  const tensors = new Map<string, TensorSource>();
  const adapted = new Map<string, Adapted>();
  for (const [fileKey, source] of checkpoint.tensors) {
    const { key, part } = plainKey(fileKey, checkpoint.tensors);
    const layer = part === undefined ? undefined : (adapted.get(key) ?? {});
    if (part !== undefined) adapted.set(key, { ...layer, [part]: source });
    // The parts of a layer have one key, and its place in the file is that of the first.
    const isNew = layer === undefined || Object.keys(layer).length === 0;
    if (isNew && tensors.has(key)) problems.push(`${key}: given twice, once as ${fileKey}`);
    if (isNew) tensors.set(key, source);
  }
  const found = new Map<string, Set<number>>(TOWERS.map(({ tower }) => [tower, new Set()]));
  for (const [key, layer] of adapted) {
    const problem = misfit(layer);
    if (problem !== undefined) problems.push(`${key}: ${problem}`);
    else {
      found.get(key.slice(0, key.indexOf(".")))!.add(layer.A!.shape[0]!);
      tensors.set(key, merged(layer as Required<Adapted>, checkpoint));
    }
  }
  if (problems.length > 0)
    throw new CheckpointError(
      `mergeLora: ${checkpoint.name} has adapters that do not fit: ${firstOf(problems)}; fetch the file again, or merge them where they were trained`,
    );
  checkRanks(checkpoint.name, ranks, found);
  return { ...checkpoint, keys: [...tensors.keys()], tensors };
}

/** The key without what peft adds to it, and which part of an adapted layer the tensor is. */
function plainKey(
  key: string,
  all: ReadonlyMap<string, unknown>,
): { readonly key: string; readonly part?: keyof Adapted } {
  const wrapped = /^(vision_model|language_model)\.base_model\.model\.(.+)$/.exec(key);
  if (wrapped === null) return { key };
  const [, tower, rest] = wrapped as unknown as [string, string, string];
  for (const [suffix, part] of Object.entries(PARTS))
    if (rest.endsWith(`.${suffix}`)) return { key: `${tower}.${rest.slice(0, -suffix.length)}weight`, part };
  const plain = { key: `${tower}.${rest.replace(/\.base_layer\.bias$/, ".bias")}` };
  const isBase = key.endsWith(".weight") && all.has(key.replace(/weight$/, "lora_A.default.weight"));
  return isBase ? { ...plain, part: "base" } : plain;
}

/** Why the parts of an adapted layer make no whole, or undefined. */
function misfit({ base, A, B }: Adapted): string | undefined {
  const missing = Object.entries({ base_layer: base, lora_A: A, lora_B: B }).filter(([, t]) => !t);
  if (!base || !A || !B) return `without ${missing.map(([name]) => name).join(" and ")}`;
  const [out = 0, width = 0] = base.shape;
  const rank = A.shape[0] ?? 0;
  const fits =
    base.shape.length === 2 &&
    rank > 0 &&
    sameShape(A.shape, [rank, width]) &&
    sameShape(B.shape, [out, rank]);
  const parts = [base, A, B];
  if (fits && parts.every(({ dtype }) => canCast(dtype, "f32"))) return undefined;
  return `expected floats W [out, in], A [rank, in] and B [out, rank], found ${parts.map((t) => `${t.dtype} ${showShape(t.shape)}`).join(", ")}`;
}

function checkRanks(name: string, ranks: LoraRanks, found: ReadonlyMap<string, ReadonlySet<number>>): void {
  const problems: string[] = [];
  for (const { tower, field } of TOWERS) {
    const held = [...found.get(tower)!];
    const rank = ranks[field];
    const said = `${field} is ${rank}`;
    if (rank > 0 && held.length === 0) problems.push(`${said} and the file has no adapters in ${tower}`);
    else if (held.some((r) => r !== rank))
      problems.push(`${said} and the file has adapters of rank ${held.join(" and ")} in ${tower}`);
  }
  if (problems.length > 0)
    throw new ConfigError(
      `mergeLora: ${name} and its config.json disagree: ${problems.join("; ")}; give the rank that they were trained with, 0 where they are merged`,
    );
}

/** W + 2·B·A. */
function merged({ base, A, B }: Required<Adapted>, checkpoint: Checkpoint): TensorSource {
  const load = async (): Promise<HostTensor> => {
    const values = async (t: TensorSource) => toF32(await checkpoint.read(t)).data;
    const [W, a, b] = [await values(base), await values(A), await values(B)];
    const rank = A.shape[0]!;
    const [out, width] = base.shape as [number, number];
    const sum = new Float32Array(W);
    for (let o = 0; o < out; o++) {
      const row = sum.subarray(o * width, (o + 1) * width);
      for (let r = 0; r < rank; r++) {
        const factor = SCALE * b[o * rank + r]!;
        const from = r * width;
        for (let i = 0; i < width; i++) row[i] = row[i]! + factor * a[from + i]!;
      }
    }
    return f32(base.shape, sum);
  };
  return { dtype: "f32", shape: base.shape, load };
}
