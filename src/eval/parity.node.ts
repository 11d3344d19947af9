import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { grad } from "../autodiff/index.ts";
import { f32, type HostTensor, i64, toF32 } from "../core/array.ts";
import { CheckpointError, UsageError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { input, paramTensor, type Tensor } from "../graph/tensor.ts";
import { type LoadedModel, openModel } from "../infer/load-model.node.ts";
import { contrastiveLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { emit } from "../onnx/emit.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { STAGE1_ADAMW } from "../train/adamw.ts";
import { buildContrastiveStep } from "../train/contrastive-step.ts";
import { initialState, Trainer } from "../train/trainer.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { locateWeights, openCheckpoint } from "../weights/open-checkpoint.node.ts";
import { openSafetensors } from "../weights/safetensors.node.ts";

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

/** Relative to the largest expected magnitude of a tensor, in f32: rounding differs between kernels. */
const TOLERANCE = {
  outputs: 1e-4,
  losses: 1e-4,
  gradients: 1e-3,
  /** Weights after five steps: AdamW divides small gradients by their own size, and the noise with them. */
  weights: 1e-3,
} as const;

/**
 * Gradients are measured against at least this share of the norm of all. Some are zero but for rounding (a bias on
 * attention keys shifts all scores of a softmax alike), and noise has no digits to agree in.
 */
const GRADIENT_FLOOR = 1e-4;

const STAGE1_GRADIENT = "stage1.grad.";
const GRADIENT_NORM = "stage1.grad_norm";

/** Tensors of a case that are inputs. */
const INPUTS = /^(pixel_values|(\w+_)?(text|input|prompt)_ids|.*_ids|.*labels|img_context_token_id)$/;

/** What can be computed: by name of the expected output, a value and its tolerance. */
type Computed = ReadonlyMap<string, { readonly actual: HostTensor; readonly tolerance: number }>;

export interface ParityOptions {
  /** Stops the computing at the next operator, the training after the step in work. */
  readonly signal?: AbortSignal;
  readonly threads?: number;
  readonly onProgress?: (progress: ParityProgress) => void;
}

/** How far a comparison is: of the tensors to load, the outputs to compute, or the training steps. */
export interface ParityProgress {
  readonly phase: "loading" | "computing" | "training";
  readonly done: number;
  readonly total: number;
}

/**
 * Loads the checkpoint at `path` (a folder, or a file of weights in it) and compares what it computes in f32 with every
 * expected output of the `case.safetensors` beside it; yields one result an output as soon as it is there, those that
 * are unsupported at the end. Throws UsageError without a case, CheckpointError when the weights or the case's inputs do
 * not fit the model, and the signal's reason.
 */
export async function* runParity(path: string, options: ParityOptions = {}): AsyncGenerator<ParityOutput> {
  const reference = await openSafetensors(await locateCase(path));
  const expected = reference.keys.filter((key) => !INPUTS.test(key));
  const norm = reference.tensors.has(GRADIENT_NORM) ? await read(reference, GRADIENT_NORM) : undefined;
  const gradientFloor = norm ? GRADIENT_FLOOR * toF32(norm).data[0]! : 0;
  const left = new Set(expected);
  for await (const computed of compute(path, reference, expected, options))
    for (const name of expected) {
      const result = computed.get(name);
      if (!result) continue;
      options.signal?.throwIfAborted();
      left.delete(name);
      const floor = name.startsWith(STAGE1_GRADIENT) ? gradientFloor : 0;
      const { actual, tolerance } = result;
      yield { name, ...compare(actual, await read(reference, name), tolerance, floor), tolerance };
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

const read = (checkpoint: Checkpoint, key: string): Promise<HostTensor> =>
  checkpoint.read(checkpoint.tensors.get(key)!);

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

/** The outputs of a case that this version can compute, in two parts; none for a model that it cannot build. */
async function* compute(
  path: string,
  reference: Checkpoint,
  expected: readonly string[],
  options: ParityOptions,
): AsyncGenerator<Computed> {
  if (!reference.tensors.has("pixel_values")) return;
  const weightsPath = await locateWeights(path, [CASE_FILE]);
  if (await isOfAnotherFamily(weightsPath)) return;
  const loaded = await openModel(weightsPath, { precision: "f32" });
  const feeds = await readFeeds(loaded, reference);
  await using runtime = await createRuntime(options.threads ? { threads: options.threads } : {});
  const outputs = await runOutputs(runtime, loaded, feeds, expected, options);
  if (outputs.size === 0) return;
  yield outputs;
  if (feeds.ids && expected.includes("stage1.losses"))
    yield await trainFiveSteps(runtime, loaded, feeds, expected, options);
}

/** What one run of the model gives, gradients included. */
async function runOutputs(
  runtime: Runtime,
  loaded: LoadedModel,
  feeds: Record<string, HostTensor>,
  expected: readonly string[],
  { signal, onProgress }: ParityOptions,
): Promise<Computed> {
  const { graph, gradientOf } = outputsOf(loaded, feeds, expected);
  const total = Object.keys(graph).length;
  if (total === 0) return new Map();
  onProgress?.({ phase: "loading", done: 0, total: loaded.weights.size });
  using weights = await runtime.weights(loaded.weights);
  await using session = await runtime.session(emit(graph).bytes, { weights });
  const inputs = Object.fromEntries(session.inputs.map((name) => [name, feeds[name]!]));
  onProgress?.({ phase: "computing", done: 0, total });
  const results = await session.run(inputs, signal ? { signal } : {});
  return new Map(
    Object.entries(results).map(([name, actual]) => {
      const tolerance = gradientOf.has(name) ? TOLERANCE.gradients : TOLERANCE.outputs;
      return [name, { actual, tolerance }];
    }),
  );
}

/** Whether the configuration is that of a model which this version cannot build at all. */
async function isOfAnotherFamily(path: string): Promise<boolean> {
  const { config } = await openCheckpoint(path);
  const type = (config as { readonly model_type?: unknown } | undefined)?.model_type;
  return type !== undefined && type !== "internvl";
}

/** The case's inputs, checked: an id outside the vocabulary would end in the runtime, far from its cause. */
async function readFeeds({ model }: LoadedModel, reference: Checkpoint): Promise<Record<string, HostTensor>> {
  const problems: string[] = [];
  const pixels = await read(reference, "pixel_values");
  const S = model.imageSize;
  const [B = 0] = pixels.shape;
  if (pixels.dtype !== "f32" || B === 0 || !sameShape(pixels.shape, [B, 3, S, S]))
    problems.push(`pixel_values: expected f32 [B, 3, ${S}, ${S}], found ${pixels.dtype} [${pixels.shape}]`);
  const feeds: Record<string, HostTensor> = { pixels };
  if (reference.tensors.has("text_ids")) {
    const ids = await read(reference, "text_ids");
    const vocabulary = model.cfg.qllama_config.vocab_size;
    if (ids.dtype !== "i64" || ids.shape.length !== 2 || ids.shape[0] !== B)
      problems.push(`text_ids: expected i64 [${B}, T], found ${ids.dtype} [${ids.shape}]`);
    else if ((ids.data as BigInt64Array).some((id) => id < 0n || id >= vocabulary))
      problems.push(`text_ids: expected ids from 0 to ${vocabulary - 1}, found others`);
    else Object.assign(feeds, { ids, eos: eosPositions(ids) });
  }
  if (problems.length > 0)
    throw new CheckpointError(`${reference.name}: not a case of this model: ${problems.join("; ")}`);
  return feeds;
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

/** The case's training: five AdamW steps on the one batch, everything trained. */
async function trainFiveSteps(
  runtime: Runtime,
  { model, weights, opened }: LoadedModel,
  feeds: Record<string, HostTensor>,
  expected: readonly string[],
  { signal, onProgress }: ParityOptions,
): Promise<Computed> {
  const step = buildContrastiveStep(model, {
    batchSize: feeds.pixels!.shape[0]!,
    images: "normalised",
    ...STAGE1_ADAMW,
    groups: [{ name: "all", match: ["*"] }],
  });
  const start = new Map<string, HostTensor>();
  for (const [key, source] of weights) start.set(key, await opened.checkpoint.read(source));
  await using trainer = await Trainer.create(runtime, step, {
    state: initialState(step, start),
    frozen: new Map(),
    betas: STAGE1_ADAMW.betas,
  });
  const results = [];
  for (let i = 0; i < STEPS; i++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: "training", done: i, total: STEPS });
    results.push(
      await trainer.run({ images: feeds.pixels!, ids: feeds.ids!, eos: feeds.eos! }, { all: LEARNING_RATE }),
    );
  }
  const computed = new Map<string, { actual: HostTensor; tolerance: number }>();
  computed.set("stage1.losses", {
    actual: f32(
      [STEPS],
      results.map((r) => r.loss),
    ),
    tolerance: TOLERANCE.losses,
  });
  computed.set(GRADIENT_NORM, {
    actual: f32([], [results[0]!.gradNorm]),
    tolerance: TOLERANCE.gradients,
  });
  for (const [key, actual] of await trainer.weights())
    if (expected.includes(STAGE1_WEIGHT + key))
      computed.set(STAGE1_WEIGHT + key, { actual, tolerance: TOLERANCE.weights });
  return computed;
}
