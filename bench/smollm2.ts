import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../src/core/errors.ts";
import { smolLM2 } from "../test/smollm2.ts";
import { type Answer, checkAnswer, type Question, summarizeAnswers } from "./answers.ts";
import { MemoryWatch, summarizeMemory } from "./memory.ts";
import { type About, type BenchContext, type BenchResult, Peer } from "./pair.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Where documents are; the figures are those of the documents' commit. */
const FOLDERS = [".", "docs", "nano", "gallery", "recipes/nano", "recipes/nano-chat"];

/** Words of a prompt; some 500 tokens. */
const WORDS = 330;
const TOKENS = 128;
const CONTEXT = 1024;

/** English that the model has not seen: this repository's own documents. */
export async function englishText(): Promise<string> {
  const texts: string[] = [];
  for (const folder of FOLDERS.map((name) => join(ROOT, name)))
    for (const name of (await readdir(folder)).filter((name) => name.endsWith(".md")).sort())
      texts.push(await readFile(join(folder, name), "utf8"));
  // Running text only: tables and code are no English.
  const paragraphs = texts.flatMap((text) => text.replace(/^```[\s\S]*?^```$/gm, "").split(/\n{2,}/));
  return paragraphs
    .filter((p) => /^[A-Z]/.test(p))
    .map((p) => p.replace(/\s+/g, " "))
    .join("\n\n");
}

/** Prompts of as many words each, which begin differently. */
function prompts(text: string): string[] {
  const words = text.split(" ");
  const count = Math.floor(words.length / WORDS);
  return Array.from({ length: count }, (_, i) => words.slice(i * WORDS, (i + 1) * WORDS).join(" "));
}

/** Path of the model. Throws a UsageError where it cannot be had. */
export async function model(): Promise<string> {
  const path = await smolLM2();
  if (path === undefined)
    throw new UsageError("bench: SmolLM2-135M could not be fetched; see the message above");
  return path;
}

/** SmolLM2-135M as it is stored in GGUF (Q4_1), ours against llama.cpp built natively. */
export const againstLlamaCpp = (context: BenchContext): Promise<BenchResult[]> =>
  against("smollm2-llama-cpp", context, (given) => Peer.start(context.python, "llama_cpp_answers.py", given));

/** The same against node-llama-cpp's own binary. */
export async function againstNodeLlamaCpp(context: BenchContext): Promise<BenchResult[]> {
  const modules = process.env.PEER_NODE_MODULES;
  if (!modules)
    throw new UsageError(
      "bench: node-llama-cpp is not one of our dependencies; install it elsewhere and name its node_modules with PEER_NODE_MODULES",
    );
  const start = (given: object) =>
    Peer.startNode("peers/node-llama-cpp.ts", { ...given, modules }, `is node-llama-cpp in ${modules}?`);
  return against("smollm2-node-llama-cpp", context, start);
}

async function against(
  name: string,
  { threads, rounds, versions }: BenchContext,
  start: (given: object) => ReturnType<typeof Peer.start>,
): Promise<BenchResult[]> {
  const given = { path: await model(), threads, context: CONTEXT };
  const { peer, version } = await start(given);
  await using _ = peer;
  using theirMemory = new MemoryWatch(peer.process.pid!);
  const { peer: ours } = await Peer.startNode("ours/answer.ts", given);
  await using __ = ours;
  using ourMemory = new MemoryWatch(ours.process.pid!);
  await ours.run();
  const pairs: { ours: Answer; peer: Answer }[] = [];
  const all = prompts(await englishText());
  // The first pair warms up.
  for (let i = 0; i <= rounds; i++) {
    const question: Question = { text: all[i % all.length]!, tokens: TOKENS };
    const own = checkAnswer("ours", question, await ours.ask<Answer>(question));
    const same = { ...question, promptTokens: own.promptTokens };
    const theirs = checkAnswer(version, same, await peer.ask<Answer>(same));
    if (i > 0) pairs.push({ ours: own, peer: theirs });
  }
  const about: About = {
    versions: `${versions}; ${version}`,
    note: `Q4_1 as stored on both sides, prompts of about ${pairs[0]!.ours.promptTokens} tokens, ${TOKENS} tokens each`,
  };
  return [
    summarizeAnswers(name, "prefill", pairs, about),
    summarizeAnswers(name, "decode", pairs, about),
    ...summarizeMemory(name, ourMemory, theirMemory, about),
  ];
}
