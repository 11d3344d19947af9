import { stat } from "node:fs/promises";
import { join } from "node:path";
import { grad } from "../autodiff/index.ts";
import { f32, type HostTensor, i64, toF32 } from "../core/array.ts";
import { ConfigError, UsageError } from "../core/errors.ts";
import { input, paramTensor, type Tensor } from "../graph/tensor.ts";
import { type LoadedModel, openModel } from "../infer/load-model.node.ts";
import { contrastiveLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { emit } from "../onnx/emit.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { buildContrastiveStep } from "../train/contrastive-step.ts";
import { initialState, Trainer } from "../train/trainer.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";

/** The file of inputs and expected outputs beside a checkpoint. */
export const CASE_FILE = "case.safetensors";

export interface ParityOutput {
  readonly name: string;
  readonly status: "ok" | "fail" | "unsupported";
  /** Worst absolute difference, and that over the largest expected magnitude; NaN where unsupported. */
  readonly maxAbs: number;
  readonly maxRel: number;
  /** What `maxRel` may be. */
  readonly tolerance: number;
}

/** Relative to the largest expected magnitude of a tensor, in f32: rounding differs between kernels. */
const TOLERANCE = {
  outputs: 1e-4,
  losses: 1e-4,
  gradients: 1e-3,
  /** Weights after five steps: AdamW divides small gradients by their own size, and the noise with them. */
  weights: 1e-3,
} as const;

/** Tensors of a case that are inputs. */
const INPUTS = /^(pixel_values|(\w+_)?(text|input|prompt)_ids|.*_ids|.*labels|img_context_token_id)$/;

/** What can be computed: by name of the expected output, a value and its tolerance. */
type Computed = ReadonlyMap<string, { readonly actual: HostTensor; readonly tolerance: number }>;

/**
 * Loads the checkpoint in `dir` and compares what it computes in f32 with every expected output of its
 * `case.safetensors`; yields one result an output, in the order of the file. Throws UsageError without a case.
 */
export async function* runParity(
  dir: string,
  options: { readonly signal?: AbortSignal; readonly threads?: number } = {},
): AsyncGenerator<ParityOutput> {
  const file = join(dir, CASE_FILE);
  if (!(await stat(file).catch(() => undefined)))
    throw new UsageError(`${file}: not found; give a folder with a checkpoint and its reference case`);
  const reference = await openSafetensors(file);
  const expected = reference.keys.filter((key) => !INPUTS.test(key));
  const computed = await compute(dir, reference, expected, options);
  for (const name of expected) {
    options.signal?.throwIfAborted();
    const result = computed.get(name);
    if (!result)
      yield { name, status: "unsupported", maxAbs: Number.NaN, maxRel: Number.NaN, tolerance: Number.NaN };
    else
      yield {
        name,
        ...compare(result.actual, await read(reference, name), result.tolerance),
        tolerance: result.tolerance,
      };
  }
}

const read = (checkpoint: Checkpoint, key: string): Promise<HostTensor> =>
  checkpoint.read(checkpoint.tensors.get(key)!);

function compare(
  actual: HostTensor,
  expected: HostTensor,
  tolerance: number,
): Pick<ParityOutput, "status" | "maxAbs" | "maxRel"> {
  const [a, b] = [toF32(actual).data, toF32(expected).data];
  if (a.length !== b.length)
    return { status: "fail", maxAbs: Number.POSITIVE_INFINITY, maxRel: Number.POSITIVE_INFINITY };
  let [maxAbs, scale] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= maxAbs)) maxAbs = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / Math.max(scale, Number.MIN_VALUE);
  return { status: maxRel <= tolerance ? "ok" : "fail", maxAbs, maxRel };
}

/** The outputs of a case that this version can compute; none for a model that it cannot build. */
async function compute(
  dir: string,
  reference: Checkpoint,
  expected: readonly string[],
  options: { readonly threads?: number },
): Promise<Computed> {
  const loaded = await openModel(dir, { precision: "f32" }).catch((e: unknown) => {
    if (e instanceof ConfigError) return undefined;
    throw e;
  });
  const has = (key: string) => reference.tensors.has(key);
  if (!loaded || !has("pixel_values")) return new Map();
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const computed = new Map<string, { actual: HostTensor; tolerance: number }>();
  const feeds: Record<string, HostTensor> = { pixels: await read(reference, "pixel_values") };
  if (has("text_ids")) {
    feeds.ids = await read(reference, "text_ids");
    feeds.eos = eosPositions(feeds.ids);
  }

  const { graph, gradientOf } = outputsOf(loaded, feeds, expected);
  using weights = await runtime.weights(loaded.weights);
  await using session = await runtime.session(emit(graph).bytes, { weights });
  const inputs = Object.fromEntries(session.inputs.map((name) => [name, feeds[name]!]));
  const results = await session.run(inputs);
  for (const [name, actual] of Object.entries(results)) {
    const tolerance = gradientOf.has(name) ? TOLERANCE.gradients : TOLERANCE.outputs;
    computed.set(name, { actual, tolerance });
  }
  if (feeds.ids && expected.includes("stage1.losses"))
    for (const [name, result] of await trainFiveSteps(runtime, loaded, feeds, expected))
      computed.set(name, result);
  return computed;
}

/** The published rule: (number of ids that are not padding) − 1. */
function eosPositions(ids: HostTensor): HostTensor<"i64"> {
  const [rows, columns] = ids.shape as [number, number];
  const data = ids.data as BigInt64Array;
  return i64(
    [rows],
    Array.from(
      { length: rows },
      (_, r) => data.subarray(r * columns, (r + 1) * columns).filter((v) => v > 0n).length - 1,
    ),
  );
}

const STAGE1_GRADIENT = "stage1.grad.";

function outputsOf({ model }: LoadedModel, feeds: Record<string, HostTensor>, expected: readonly string[]) {
  const S = model.imageSize;
  const pixels = input("pixels", "f32", [feeds.pixels!.shape[0]!, 3, S, S]);
  const all: Record<string, Tensor> = {
    vit_last_hidden: model.vision_model.forward(pixels),
    c_image: model.encodeImage(pixels),
  };
  const gradientOf = new Set<string>();
  if (feeds.ids) {
    const [B, L] = feeds.ids.shape as [number, number];
    all.c_text = model.encodeText(input("ids", "i64", [B, L]), input("eos", "i64", [B]));
    // InternVL-G's text encoder is InternVL-C's.
    all.g_text = all.c_text;
    const params = [...parameters(model)].filter(([key]) => expected.includes(STAGE1_GRADIENT + key));
    const loss = contrastiveLoss(all.c_image!, all.c_text, model.scale());
    grad(
      loss,
      params.map(([, p]) => paramTensor(p)),
    ).forEach((g, i) => {
      const name = STAGE1_GRADIENT + params[i]![0];
      gradientOf.add(name);
      all[name] = g;
    });
  }
  const graph = Object.fromEntries(Object.entries(all).filter(([name]) => expected.includes(name)));
  return { graph, gradientOf };
}

const STAGE1_WEIGHT = "stage1.after5.";
const STEPS = 5;
const LEARNING_RATE = 1e-3;
const BETAS = [0.9, 0.95] as const;

/** The case's training: five AdamW steps on the one batch, everything trained. */
async function trainFiveSteps(
  runtime: Runtime,
  { model, weights, opened }: LoadedModel,
  feeds: Record<string, HostTensor>,
  expected: readonly string[],
): Promise<Map<string, { actual: HostTensor; tolerance: number }>> {
  const step = buildContrastiveStep(model, {
    batchSize: feeds.pixels!.shape[0]!,
    images: "normalised",
    betas: BETAS,
    epsilon: 1e-8,
    maxGradNorm: 1,
    weightDecay: 0.1,
    groups: [{ name: "all", match: ["*"] }],
  });
  const start = new Map<string, HostTensor>();
  for (const [key, source] of weights) start.set(key, await opened.checkpoint.read(source));
  await using trainer = await Trainer.create(runtime, step, {
    state: initialState(step, start),
    frozen: new Map(),
    betas: BETAS,
  });
  const results = [];
  for (let i = 0; i < STEPS; i++)
    results.push(
      await trainer.run({ images: feeds.pixels!, ids: feeds.ids!, eos: feeds.eos! }, { all: LEARNING_RATE }),
    );
  const computed = new Map<string, { actual: HostTensor; tolerance: number }>();
  computed.set("stage1.losses", {
    actual: f32(
      [STEPS],
      results.map((r) => r.loss),
    ),
    tolerance: TOLERANCE.losses,
  });
  computed.set("stage1.grad_norm", {
    actual: f32([], [results[0]!.gradNorm]),
    tolerance: TOLERANCE.gradients,
  });
  for (const [key, actual] of await trainer.weights())
    if (expected.includes(STAGE1_WEIGHT + key))
      computed.set(STAGE1_WEIGHT + key, { actual, tolerance: TOLERANCE.weights });
  return computed;
}
