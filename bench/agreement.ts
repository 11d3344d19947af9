import { i64 } from "../src/core/array.ts";
import type { Precision } from "../src/core/precisions.ts";
import { input } from "../src/graph/tensor.ts";
import { Decoder } from "../src/infer/decoder.ts";
import { placeWeights } from "../src/infer/place-weights.ts";
import { readLanguageConfig } from "../src/models/chat-config.ts";
import { joinProjections } from "../src/models/join-projections.ts";
import { Quantizer } from "../src/models/quantizer.ts";
import type { Fields } from "../src/models/unused-fields.ts";
import { wholeSequence } from "../src/nn/decoder.ts";
import { emit } from "../src/onnx/emit.ts";
import { fuse } from "../src/onnx/fuse.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { ggufTokenizer } from "../src/text/gguf-tokenizer.ts";
import { openGguf } from "../src/weights/gguf.node.ts";
import { ggufText } from "../src/weights/gguf-text.ts";
import { alone, type BenchContext, type BenchResult, Peer, summarize } from "./pair.ts";
import { agreement, perplexity, type Scores, score } from "./scores.ts";
import { englishText, model } from "./smollm2.ts";

/** Tokens that are looked at together. */
const WINDOW = 512;
const WINDOWS = 6;

/** How the weights are kept; "stored" as in the file, which is Q4_1. */
const KEPT = ["f32", "stored", "w8", "w4"] as const;
type Kept = (typeof KEPT)[number];

/** A window at once, as prompts are computed, or token by token, as answers are. */
const WAYS = { chunk: WINDOW, step: 1 } as const;
type Way = keyof typeof WAYS;

/**
 * SmolLM2-135M on English text: at how many positions the likeliest next token is that of f32, and the perplexity; ours in
 * each precision and llama.cpp with the file as it is.
 */
export async function smollm2Agreement({
  python,
  runtime,
  threads,
  versions,
}: BenchContext): Promise<BenchResult[]> {
  const path = await model();
  const windows = await readWindows(path);
  const { peer, version } = await Peer.start(python, "llama_cpp_logits.py", {
    path,
    threads,
    context: WINDOW,
  });
  await using _ = peer;
  const theirs = new Map<Way, Scores[]>();
  for (const way of waysOf()) {
    const scores: Scores[] = [];
    for (const ids of windows) scores.push(await peer.ask<Scores>({ ids, step: WAYS[way] }));
    theirs.set(way, scores);
  }
  const positions = windows.reduce((sum, ids) => sum + ids.length, 0);
  const about = {
    versions: `${versions}; ${version}`,
    note: `${positions} positions; llama.cpp with Q4_1 as stored`,
  };
  const results: BenchResult[] = [];
  let reference: Scores[] | undefined;
  for (const kept of KEPT) {
    const ours = await scoresOf(runtime, path, kept, windows);
    reference ??= ours.chunk;
    for (const way of waysOf()) {
      const [own, other] = [ours[way], theirs.get(way)!];
      const shares = { ours: agreement(own, reference), peer: agreement(other, reference) };
      const [plain, name] = [{ ours: perplexity(own), peer: perplexity(other) }, `${kept}-${way}`];
      if (own === reference)
        results.push(alone(`smollm2-perplexity/${name}`, "perplexity", plain.ours, about));
      else
        results.push(
          summarize(`smollm2-agreement/${name}`, "share", [shares], about),
          summarize(`smollm2-perplexity/${name}`, "perplexity", [plain], about),
        );
    }
  }
  return results;
}

const waysOf = () => Object.keys(WAYS) as Way[];

async function readWindows(path: string): Promise<number[][]> {
  const tokenizer = ggufTokenizer(Object.fromEntries((await openGguf(path)).metadata), path);
  const ids = tokenizer.encode(await englishText());
  const count = Math.min(WINDOWS, Math.floor(ids.length / WINDOW));
  return Array.from({ length: count }, (_, i) => [...ids.slice(i * WINDOW, (i + 1) * WINDOW)]);
}

/** What the model makes of each window, both ways. */
async function scoresOf(
  runtime: Runtime,
  path: string,
  kept: Kept,
  windows: readonly (readonly number[])[],
): Promise<Record<Way, Scores[]>> {
  const precision: Precision | undefined = kept === "stored" ? undefined : kept;
  const { checkpoint, config } = await ggufText(await openGguf(path));
  const language = readLanguageConfig(config as unknown as Fields, path).create({ tied: false });
  await using quantizer = new Quantizer(runtime);
  const placed = await placeWeights(language, checkpoint, { precision, quantizer });
  using weights = await runtime.weights(
    joinProjections(language, placed, (source) => checkpoint.read(source)),
  );
  const { vocab_size: V, rope } = language.shape;

  const hidden = language.decode(
    language.embed(input("ids", "i64", [1, WINDOW])),
    wholeSequence(rope, WINDOW, WINDOW),
  );
  const scores: Record<Way, Scores[]> = { chunk: [], step: [] };
  {
    await using whole = await runtime.session(emit(fuse({ logits: language.logits(hidden) })).bytes, {
      weights,
    });
    for (const ids of windows) {
      const { logits } = await whole.run({ ids: i64([1, WINDOW], ids) });
      scores.chunk.push(score(logits!.data as Float32Array, V, ids));
    }
  }
  await using decoder = await Decoder.create(runtime, language, weights);
  for (const ids of windows) {
    using cache = decoder.cache(1, WINDOW);
    const logits = new Float32Array(WINDOW * V);
    for (const [i, id] of ids.entries()) logits.set((await decoder.run(cache, { ids: [[id]] })).data, i * V);
    scores.step.push(score(logits, V, ids));
  }
  return scores;
}
