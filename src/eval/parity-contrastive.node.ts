import { grad } from "../autodiff/index.ts";
import { f32, type HostTensor, i64 } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { input, paramTensor, type Tensor } from "../graph/tensor.ts";
import { type LoadedModel, openModel } from "../infer/load-model.node.ts";
import { contrastiveLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { emit } from "../onnx/emit.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { STAGE1_ADAMW } from "../train/adamw.ts";
import { buildContrastiveStep } from "../train/contrastive-step.ts";
import { initialState, Trainer } from "../train/trainer.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { type Computed, type ParityOptions, readCase, TOLERANCE } from "./parity-case.ts";

const STAGE1_GRADIENT = "stage1.grad.";
const GRADIENT_NORM = "stage1.grad_norm";

/** What InternVL-C's part of a case gives: outputs and gradients first, then five training steps. */
export async function* computeContrastive(
  weightsPath: string,
  runtime: Runtime,
  reference: Checkpoint,
  expected: readonly string[],
  options: ParityOptions,
): AsyncGenerator<Computed> {
  const loaded = await openModel(weightsPath, { precision: "f32" });
  const feeds = await readFeeds(loaded, reference);
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

/** The case's inputs, checked: an id outside the vocabulary would end in the runtime, far from its cause. */
async function readFeeds({ model }: LoadedModel, reference: Checkpoint): Promise<Record<string, HostTensor>> {
  const problems: string[] = [];
  const pixels = await readCase(reference, "pixel_values");
  const S = model.imageSize;
  const [B = 0] = pixels.shape;
  if (pixels.dtype !== "f32" || B === 0 || !sameShape(pixels.shape, [B, 3, S, S]))
    problems.push(`pixel_values: expected f32 [B, 3, ${S}, ${S}], found ${pixels.dtype} [${pixels.shape}]`);
  const feeds: Record<string, HostTensor> = { pixels };
  if (reference.tensors.has("text_ids")) {
    const ids = await readCase(reference, "text_ids");
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
