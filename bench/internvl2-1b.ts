import { join } from "node:path";
import type { Precision } from "../src/core/precisions.ts";
import { publishedChat } from "../src/models/published-chat.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { type Answer, checkAnswer, type Question, summarizeAnswers } from "./answers.ts";
import { MemoryWatch, summarizeMemory } from "./memory.ts";
import { type BenchContext, type BenchResult, Peer } from "./pair.ts";
import { writeRandomChat } from "./random-chat.ts";

const MODEL = "InternVL2-1B";
const TOKENS = 64;
const TILES = [1, 7];

/** Some 50 tokens of the small tokenizer that the random model has. */
const TEXT = "What is in this picture? Say it in one line.";

/** The same sizes in transformers' own format. */
function peerConfig(): Record<string, unknown> {
  const { vocab_size } = publishedChat(MODEL)!.config.llm_config as { readonly vocab_size: number };
  const { architectures: _, ...config } = publishedChat("InternVL3-1B-hf")!.config;
  const text_config = { ...(config.text_config as object), vocab_size };
  return { ...config, text_config, image_token_id: vocab_size - 1 };
}

/** Ours in a precision against transformers in PyTorch: pictures of 1 and of 7 tiles, then 64 tokens. */
function against(precision: Precision, dtype: "f32" | "bf16") {
  const name = `internvl2-1b-${precision}`;
  return async ({ python, threads, rounds, versions }: BenchContext): Promise<BenchResult[]> => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, MODEL);
    await writeRandomChat(path, MODEL);
    const { peer: ours } = await Peer.startNode("ours/answer.ts", { path, threads, precision });
    await using _ = ours;
    using ourMemory = new MemoryWatch(ours.process.pid!);
    await ours.run();
    const { peer, version } = await Peer.start(python, "internvl_answers.py", {
      threads,
      dtype,
      config: peerConfig(),
    });
    await using __ = peer;
    using theirMemory = new MemoryWatch(peer.process.pid!);
    const pairs = new Map(TILES.map((tiles) => [tiles, [] as { ours: Answer; peer: Answer }[]]));
    // The first round warms up.
    for (let round = 0; round <= rounds; round++)
      for (const tiles of TILES) {
        const question: Question = {
          text: TEXT,
          picture: { tiles, seed: `${round} of ${tiles}` },
          tokens: TOKENS,
        };
        const own = checkAnswer("ours", question, await ours.ask<Answer>(question));
        const same = { ...question, promptTokens: own.promptTokens };
        const theirs = checkAnswer(version, same, await peer.ask<Answer>(same));
        if (round > 0) pairs.get(tiles)!.push({ ours: own, peer: theirs });
      }
    const about = { versions: `${versions}; ${version} ${dtype}` };
    const results = [...pairs].flatMap(([tiles, answers]) => {
      const { promptTokens } = answers[0]!.ours;
      const note = `${MODEL} with random weights, ours ${precision}, ${promptTokens} tokens those of ${tiles} ${tiles > 1 ? "tiles" : "tile"} among them, ${TOKENS} made; ours cuts the picture, the peer is given its tiles`;
      const of = `${name}/tiles-${tiles}`;
      return (["first-token", "decode"] as const).map((m) =>
        summarizeAnswers(of, m, answers, { ...about, note }),
      );
    });
    return [...results, ...summarizeMemory(name, ourMemory, theirMemory, about)];
  };
}

export const internvl1bF32 = against("f32", "f32");
export const internvl1bW8 = against("w8", "bf16");
export const internvl1bW4 = against("w4", "bf16");
export const internvl1bW8A8 = against("w8a8", "bf16");
