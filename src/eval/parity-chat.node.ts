import { grad } from "../autodiff/index.ts";
import { type HostTensor, i64 } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { input, paramTensor, type Tensor } from "../graph/tensor.ts";
import { Decoder } from "../infer/decoder.ts";
import { endOfText } from "../infer/end-of-text.node.ts";
import { generate, searchBeams } from "../infer/generate.ts";
import { type OpenedChatModel, openChatModel } from "../infer/open-chat-model.node.ts";
import { createSampler } from "../infer/sampling.ts";
import { SamplingOptions } from "../infer/sampling-options.ts";
import { sequenceOf } from "../infer/sequence.ts";
import { TokenHistory } from "../infer/token-history.ts";
import { embedPrompt } from "../models/embed-prompt.ts";
import { wholeSequence } from "../nn/decoder.ts";
import { nextTokenLoss } from "../nn/losses.ts";
import { parameters } from "../nn/module.ts";
import { emit } from "../onnx/emit.ts";
import { reshape } from "../ops/index.ts";
import type { Runtime, WeightSet } from "../runtime/runtime.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { type Computed, type ParityOptions, readCase, TOLERANCE } from "./parity-case.ts";

const GRADIENT = "sft.grad.";
const NEW_TOKENS = 24;

/** InternVL-Chat's part of a case: what one run gives, gradients of fine-tuning included, then generated sequences. */
export async function* computeChat(
  weightsPath: string,
  runtime: Runtime,
  reference: Checkpoint,
  expected: readonly string[],
  options: ParityOptions,
): AsyncGenerator<Computed> {
  const opened = await openChatModel(weightsPath, { precision: "f32" });
  const feeds = await readFeeds(opened, reference);
  options.onProgress?.({ phase: "loading", done: 0, total: opened.weights.size });
  using weights = await runtime.weights(opened.weights);
  yield await runOutputs(runtime, weights, opened, feeds, expected, options);
  yield await runGeneration(runtime, weights, opened, feeds, expected, weightsPath, options);
}

/** The case's inputs by the names of the graph; `rows` says which image token stands in a place. */
type Feeds = Readonly<Record<string, HostTensor>>;

async function readFeeds({ model, config }: OpenedChatModel, reference: Checkpoint): Promise<Feeds> {
  const problems: string[] = [];
  const S = model.imageSize;
  const pixels = await readCase(reference, "pixel_values");
  const [N = 0] = pixels.shape;
  if (pixels.dtype !== "f32" || N === 0 || !sameShape(pixels.shape, [N, 3, S, S]))
    problems.push(
      `pixel_values: expected f32 [tiles, 3, ${S}, ${S}], found ${pixels.dtype} [${pixels.shape}]`,
    );
  const feeds: Record<string, HostTensor> = { pixels };
  const vocabulary = model.language_model.shape.vocab_size;
  for (const [name, key] of Object.entries({
    ids: "input_ids",
    text_ids: "text_ids",
    labels: "sft.labels",
  })) {
    if (!reference.tensors.has(key)) continue;
    const ids = await readCase(reference, key);
    const lowest = name === "labels" ? -100n : 0n;
    if (ids.dtype !== "i64" || ids.shape.length !== 2 || ids.shape[0] !== 1)
      problems.push(`${key}: expected i64 [1, L], found ${ids.dtype} [${ids.shape}]`);
    else if ((ids.data as BigInt64Array).some((id) => id < lowest || id >= vocabulary))
      problems.push(`${key}: expected ids from 0 to ${vocabulary - 1}, found others`);
    else feeds[name] = ids;
  }
  const given = reference.tensors.has("img_context_token_id")
    ? Number((await readCase(reference, "img_context_token_id")).data[0])
    : config.imageTokenId;
  if (feeds.ids === undefined) problems.push("input_ids: missing");
  else if (given === undefined) problems.push("img_context_token_id: neither here nor in config.json");
  else feeds.rows = imageRows(feeds.ids, given, N * model.tokensPerTile, problems);
  if (problems.length > 0)
    throw new CheckpointError(`${reference.name}: not a case of this model: ${problems.join("; ")}`);
  return feeds;
}

/** For each id the image token in its place, in reading order, or −1. */
function imageRows(ids: HostTensor, imageId: number, tokens: number, problems: string[]): HostTensor<"i64"> {
  let next = 0;
  const rows = Array.from(ids.data as BigInt64Array, (id) => (Number(id) === imageId ? next++ : -1));
  if (next !== tokens)
    problems.push(`input_ids: expected ${tokens} image tokens (id ${imageId}), found ${next}`);
  return i64(ids.shape, rows);
}

async function runOutputs(
  runtime: Runtime,
  weights: WeightSet,
  { model }: OpenedChatModel,
  feeds: Feeds,
  expected: readonly string[],
  { signal, onProgress }: ParityOptions,
): Promise<Computed> {
  const all = outputsOf(model, feeds, expected);
  const graph = Object.fromEntries(Object.entries(all).filter(([name]) => expected.includes(name)));
  onProgress?.({ phase: "computing", done: 0, total: Object.keys(graph).length });
  await using session = await runtime.session(emit(graph).bytes, { weights });
  const inputs = Object.fromEntries(session.inputs.map((name) => [name, feeds[name]!]));
  const results = await session.run(inputs, signal ? { signal } : {});
  return new Map(
    Object.entries(results).map(([name, actual]) => {
      const kind = name.startsWith(GRADIENT) ? "gradients" : name === "sft.loss" ? "losses" : "outputs";
      return [name, { actual, tolerance: TOLERANCE[kind] }];
    }),
  );
}

function outputsOf(
  model: OpenedChatModel["model"],
  feeds: Feeds,
  expected: readonly string[],
): Record<string, Tensor> {
  const language = model.language_model;
  const of = (name: string, dtype: "f32" | "i64") => input(name, dtype, feeds[name]!.shape);
  const forward = (x: Tensor) => {
    const L = Number(x.shape[1]);
    return language.logits(language.decode(x, wholeSequence(language.shape.rope, L, L)));
  };
  const tiles = model.encodeTiles(of("pixels", "f32"));
  const D = language.shape.hidden_size;
  const tokens = reshape(tiles, [Number(tiles.shape[0]) * model.tokensPerTile, D]);
  const logits = forward(embedPrompt(language, of("ids", "i64"), tokens, of("rows", "i64")));
  const all: Record<string, Tensor> = { vit_embeds: tiles, image_features: tiles, logits };
  if (feeds.text_ids) all.text_logits = forward(language.embed(of("text_ids", "i64")));
  if (feeds.labels) {
    all["sft.loss"] = nextTokenLoss(logits, of("labels", "i64"));
    const params = [...parameters(model)].filter(([key]) => expected.includes(GRADIENT + key));
    const gradients = grad(
      all["sft.loss"],
      params.map(([, p]) => paramTensor(p)),
    );
    for (const [i, [key]] of params.entries()) all[GRADIENT + key] = gradients[i]!;
  }
  return all;
}

interface Generation {
  readonly beams?: number;
  readonly penalty: number;
  /** Whether the repetition penalty counts the prompt: not where the model is given it as embeddings. */
  readonly seesPrompt?: boolean;
}

/** What the sequences of the cases are made with. */
const GENERATIONS: Readonly<Record<string, Generation>> = {
  "generate.greedy": { penalty: 1 },
  "generate.greedy_rep": { penalty: 1.3 },
  "generate.beam3": { beams: 3, penalty: 1 },
  greedy: { penalty: 1 },
  "greedy_repetition_penalty_1.5": { penalty: 1.5, seesPrompt: true },
};

/** Generated sequences, through the cache; ids have to be equal. */
async function runGeneration(
  runtime: Runtime,
  weights: WeightSet,
  { model, opened }: OpenedChatModel,
  feeds: Feeds,
  expected: readonly string[],
  weightsPath: string,
  { signal, onProgress }: ParityOptions,
): Promise<Computed> {
  const names = Object.keys(GENERATIONS).filter((name) => expected.includes(name));
  const ids = Array.from(feeds.ids!.data as BigInt64Array, Number);
  await using tower = await runtime.session(
    emit({ tokens: model.encodeTiles(input("pixels", "f32", feeds.pixels!.shape)) }).bytes,
    { weights },
  );
  const { tokens } = await tower.run({ pixels: feeds.pixels! });
  const D = model.language_model.shape.hidden_size;
  const flat = { ...tokens!, shape: [tokens!.data.length / D, D] } as HostTensor<"f32">;
  const prompt = {
    ids,
    images: { tokens: flat, rows: Array.from(feeds.rows!.data as BigInt64Array, Number) },
  };
  const stopIds = await endOfText(weightsPath, opened.config);
  await using decoder = await Decoder.create(runtime, model.language_model, weights);
  const computed = new Map<string, { actual: HostTensor; tolerance: number }>();
  for (const [i, name] of names.entries()) {
    onProgress?.({ phase: "computing", done: i, total: names.length });
    const { beams, penalty: repetition_penalty, seesPrompt } = GENERATIONS[name]!;
    const seen = seesPrompt ? ids : [];
    const aborted = signal ? { signal } : {};
    const made: number[] = [];
    if (beams !== undefined) {
      const search = {
        num_beams: beams,
        max_new_tokens: NEW_TOKENS,
        min_new_tokens: 0,
        repetition_penalty,
        length_penalty: 1,
      };
      made.push(...(await searchBeams(decoder, prompt, search, { stopIds, seen, ...aborted })));
    } else {
      using cache = decoder.cache(1, ids.length + NEW_TOKENS);
      const sampler = createSampler(SamplingOptions.parse({ temperature: 0, repetition_penalty }));
      const history = new TokenHistory(seen);
      const settings = { sampler, history, maxNewTokens: NEW_TOKENS, stopIds, ...aborted };
      for await (const { id } of generate(sequenceOf(decoder, cache), prompt, settings)) made.push(id);
    }
    computed.set(name, { actual: i64([1, made.length], made), tolerance: 0 });
  }
  return computed;
}
