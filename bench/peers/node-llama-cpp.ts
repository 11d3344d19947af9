/** llama.cpp through node-llama-cpp, from the folder of modules that the case names: plain texts are continued, greedily. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import type { Answer, Question } from "../answers.ts";

/** What is used of the package, which is not one of ours. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<Model> }>;
}
interface Model {
  tokenize(text: string): number[];
  createContext(options: object): Promise<{ getSequence(): Sequence }>;
}
interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: object): AsyncGenerator<number>;
}

interface Case {
  readonly modules: string;
  readonly path: string;
  readonly threads: number;
  readonly context: number;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what: unknown) => process.stdout.write(`${JSON.stringify(what)}\n`);

const { modules, path, threads, context }: Case = JSON.parse((await lines.next()).value);
const folder = join(modules, "node-llama-cpp");
const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version: string };
const { getLlama } = (await import(pathToFileURL(join(folder, "dist/index.js")).href)) as NodeLlamaCpp;
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: "error" });
const model = await llama.loadModel({ modelPath: path });
const sequence = (await model.createContext({ contextSize: context, threads })).getSequence();
say({ version: `node-llama-cpp ${version}` });

for await (const line of lines) {
  const { text, tokens } = JSON.parse(line) as Question;
  await sequence.clearHistory(); // nothing is known from before
  const start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const ids = model.tokenize(text);
  let [made, firstSeconds, seconds] = [0, 0, 0];
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    made++;
    seconds = since();
    firstSeconds ||= seconds;
    if (made === tokens) break;
  }
  say({ promptTokens: ids.length, tokens: made, firstSeconds, seconds } satisfies Answer);
}
process.exit();
