import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { openTokenizer } from "../src/text/tokenizer.node.ts";
import { type BenchContext, type BenchResult, Peer, pair } from "./pair.ts";

const NANO = fileURLToPath(new URL("../nano", import.meta.url));
const CLASSNAMES = new URL("../src/eval/data/imagenet-classnames.en.json", import.meta.url);

/**
 * 20,000 prompts for ImageNet's classes to ids, 1,300 different words; against SentencePiece's own library, one thread
 * each. Ours keeps the ids of words, so every run has a tokenizer that has met none.
 */
export async function tokenize({ python, rounds, versions }: BenchContext): Promise<BenchResult> {
  const names = JSON.parse(await readFile(CLASSNAMES, "utf8")) as string[];
  const texts = Array.from({ length: 20 }, (_, i) =>
    names.map((name) => `photo ${i} of the ${name}.`),
  ).flat();
  // Two runs warm up.
  const tokenizers = await Promise.all(Array.from({ length: rounds + 2 }, () => openTokenizer(NANO)));
  const { peer, version } = await Peer.start(python, "text.py", { model: `${NANO}/tokenizer.model`, texts });
  await using _ = peer;
  const ours = async () => {
    const tokenizer = tokenizers.pop()!;
    for (const text of texts) tokenizer.encode(text);
  };
  return await pair("tokenize", ours, peer, rounds, {
    versions: `${versions}; ${version}`,
    note: `${texts.length} texts, one thread each, a new tokenizer every time`,
  });
}
