import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type HostTensor, toF32 } from "../core/array.ts";
import { UsageError } from "../core/errors.ts";
import { isChatConfig } from "../models/chat-config.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { locateWeights, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";
import { type Computed, type ParityOptions, readCase } from "./parity-case.ts";
import { computeChat } from "./parity-chat.node.ts";
import { computeContrastive } from "./parity-contrastive.node.ts";

/** The file of inputs and expected outputs beside a checkpoint. */
export const CASE_FILE = "case.safetensors";

export interface ParityOutput {
  readonly name: string;
  readonly status: "ok" | "fail" | "unsupported";
  /**
   * Worst absolute difference, and that over the largest expected magnitude (for gradients at least a ten-thousandth of
   * the norm of all); NaN where unsupported.
   */
  readonly maxAbs: number;
  readonly maxRel: number;
  /** What `maxRel` may be. */
  readonly tolerance: number;
}

/**
 * Gradients are measured against at least this share of the norm of all. Some are zero but for rounding (a bias on
 * attention keys shifts all scores of a softmax alike), and noise has no digits to agree in.
 */
const GRADIENT_FLOOR = 1e-4;

const GRADIENT = /^\w+\.grad\./;

/** Norm of the gradients of a case: what it says itself, or that of the gradients that it lists. */
async function gradientNorm(reference: Checkpoint): Promise<number> {
  const [norm] = reference.keys.filter((key) => key.endsWith(".grad_norm"));
  if (norm) return toF32(await readCase(reference, norm)).data[0]!;
  let total = 0;
  for (const key of reference.keys.filter((k) => GRADIENT.test(k)))
    for (const v of toF32(await readCase(reference, key)).data) total += v * v;
  return Math.sqrt(total);
}

/** Tensors of a case that are inputs. */
const INPUTS = /^(pixel_values|(\w+_)?(text|input|prompt)_ids|.*_ids|.*labels|img_context_token_id)$/;

/**
 * Loads the checkpoint at `path` (a folder, or a file of weights in it) and compares what it computes in f32 with every
 * expected output of the `case.safetensors` beside it; yields one result an output as soon as it is there, those that
 * are unsupported at the end. Throws UsageError without a case, CheckpointError when the weights or the case's inputs do
 * not fit the model, and the signal's reason.
 */
export async function* runParity(path: string, options: ParityOptions = {}): AsyncGenerator<ParityOutput> {
  const reference = await openSafetensors(await locateCase(path));
  const expected = reference.keys.filter((key) => !INPUTS.test(key));
  const gradientFloor = GRADIENT_FLOOR * (await gradientNorm(reference));
  const left = new Set(expected);
  for await (const computed of compute(path, reference, expected, options))
    for (const name of expected) {
      const result = computed.get(name);
      if (!result) continue;
      options.signal?.throwIfAborted();
      left.delete(name);
      const floor = GRADIENT.test(name) ? gradientFloor : 0;
      const { actual, tolerance } = result;
      yield { name, ...compare(actual, await readCase(reference, name), tolerance, floor), tolerance };
    }
  for (const name of left)
    yield { name, status: "unsupported", maxAbs: Number.NaN, maxRel: Number.NaN, tolerance: Number.NaN };
}

/** The case beside a checkpoint. */
async function locateCase(path: string): Promise<string> {
  const isFile = (await stat(path).catch(() => undefined))?.isFile() ?? false;
  const folder = isFile ? dirname(path) : path;
  const file = join(folder, CASE_FILE);
  if (!(await stat(file).catch(() => undefined)))
    throw new UsageError(`${file}: not found; give a folder with a checkpoint and its reference case`);
  return file;
}

function compare(
  actual: HostTensor,
  expected: HostTensor,
  tolerance: number,
  floor: number,
): Pick<ParityOutput, "status" | "maxAbs" | "maxRel"> {
  const [a, b] = [toF32(actual).data, toF32(expected).data];
  if (a.length !== b.length)
    return { status: "fail", maxAbs: Number.POSITIVE_INFINITY, maxRel: Number.POSITIVE_INFINITY };
  let [maxAbs, scale] = [0, floor];
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= maxAbs)) maxAbs = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / Math.max(scale, Number.MIN_VALUE);
  return { status: maxRel <= tolerance ? "ok" : "fail", maxAbs, maxRel };
}

/** The outputs of a case, as they are computed; none for a model that this version cannot build. */
async function* compute(
  path: string,
  reference: Checkpoint,
  expected: readonly string[],
  options: ParityOptions,
): AsyncGenerator<Computed> {
  if (!reference.tensors.has("pixel_values")) return;
  const weightsPath = await locateWeights(path, [CASE_FILE]);
  const { config } = await openCheckpoint(weightsPath);
  const type = (config as { readonly model_type?: unknown } | undefined)?.model_type;
  const isChat = isChatConfig(config);
  if (!isChat && type !== undefined && type !== "internvl") return;
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const family = isChat ? computeChat : computeContrastive;
  yield* family(weightsPath, runtime, reference, expected, options);
}
