import { join } from "node:path";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { type Answer, checkAnswer, type Question } from "./answers.ts";
import { MemoryWatch } from "./memory.ts";
import { alone, type BenchContext, type BenchResult, Peer } from "./pair.ts";
import { writeRandomChat } from "./random-chat.ts";

const MODEL = "InternVL2-8B";
const QUESTION: Question = { text: "What is this?", picture: { tiles: 1, seed: "8b" }, tokens: 16 };

/**
 * InternVL2-8B with its own configuration and random weights, from bf16 shards to 4 bits: how long until it is loaded
 * and until the first token of an answer, and the most memory it takes. Needs 22 GB of disk for the while: the shards, and what is made of them.
 */
export async function load8b({ threads, versions }: BenchContext): Promise<BenchResult[]> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, MODEL);
  const weights = await writeRandomChat(path, MODEL);
  const { peer: ours } = await Peer.startNode("ours/answer.ts", { path, threads, precision: "w4" });
  await using _ = ours;
  using watch = new MemoryWatch(ours.process.pid!);
  const loadSeconds = await ours.run();
  const answer = checkAnswer("ours", QUESTION, await ours.ask<Answer>(QUESTION));
  const about = {
    versions,
    note: `${(weights / 1e9).toFixed(2)} billion random weights in bf16 shards, precision w4; a picture of one tile, ${answer.promptTokens} tokens in all`,
  };
  const memory = watch.most;
  return [
    alone("load-8b/loaded", "s", loadSeconds, about),
    alone("load-8b/first-token", "s", answer.firstSeconds, about),
    alone("load-8b/decode", "tokens/s", (answer.tokens - 1) / (answer.seconds - answer.firstSeconds), about),
    ...(memory
      ? [
          alone("load-8b/peak-memory", "MiB", memory.peak, {
            ...about,
            note: `VmHWM, mapped pages of files included; ${about.note}`,
          }),
          alone("load-8b/peak-own-memory", "MiB", memory.own, {
            ...about,
            note: `RssAnon, looked at every 50 ms; ${about.note}`,
          }),
        ]
      : []),
  ];
}
