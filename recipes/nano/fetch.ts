/**
 * Fetches nano's pictures and words, converts and splits them:
 *
 *     npx tsx recipes/nano/fetch.ts OUT_DIR [--without SOURCE,SOURCE]
 *
 * OUT_DIR gets downloads/, sources/, images/, manifest.jsonl, concepts.jsonl, text-pairs.jsonl, skipped.jsonl and
 * SUMMARY.md. What is already there is checked and not fetched or converted again.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { isUserError, UsageError } from "../../src/core/errors.ts";
import { collect, obtainAll } from "./collect.ts";
import { convertAll } from "./convert.ts";
import { DICTIONARY, readDictionaries } from "./dictionaries.ts";
import { addWords, makeManifest, trialConcepts, writeJsonl } from "./manifest.ts";
import type { Skipped } from "./picture.ts";
import { SOURCES } from "./sources.ts";
import { NANO_SEED } from "./split.ts";
import { summarise } from "./summary.ts";
import { makeTextPairs } from "./text-pairs.ts";
import { readWordnet } from "./wordnet.ts";

/** For `--without`: every dictionary. */
const ALL_DICTIONARIES = "freedict";

const USAGE = "usage: npx tsx recipes/nano/fetch.ts OUT_DIR [--without SOURCE,SOURCE]";

async function main(args: readonly string[]): Promise<void> {
  const started = performance.now();
  const { outDir, without } = readArgs(args);
  await mkdir(outDir, { recursive: true });
  const dirs = await obtainAll(outDir, without, say);
  const { pictures, skipped } = await collect(dirs);
  say(`${pictures.length} pictures to convert, ${skipped.length} left out`);
  const converted = await convertAll(pictures, outDir, (done) => {
    if (done % 1000 === 0 || done === pictures.length) say(`converted ${done} of ${pictures.length}`);
  });
  const made = makeManifest(pictures, converted, NANO_SEED);
  const words = dirs.get("wordnet");
  const wordnet = words === undefined ? undefined : await readWordnet(words);
  const lines = wordnet === undefined ? made.lines : addWords(made.lines, wordnet);
  const pairs = wordnet === undefined ? [] : makeTextPairs(wordnet, await readDictionaries(dirs));
  const left: Skipped[] = [...skipped, ...made.skipped];
  await writeJsonl(join(outDir, "manifest.jsonl"), lines);
  await writeJsonl(join(outDir, "concepts.jsonl"), trialConcepts(lines));
  await writeJsonl(join(outDir, "text-pairs.jsonl"), pairs);
  await writeJsonl(join(outDir, "skipped.jsonl"), left);
  const summary = summarise(lines, left, (performance.now() - started) / 1000);
  await writeFile(join(outDir, "SUMMARY.md"), summary);
  process.stdout.write(summary);
}

function readArgs(args: readonly string[]): { outDir: string; without: ReadonlySet<string> } {
  const options = { without: { type: "string", default: "" } } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const keys = SOURCES.map((s) => s.key).filter((key) => key !== "emojibase");
  const dictionaries = keys.filter((key) => key.startsWith(DICTIONARY));
  const known = new Set<string>([...keys, ALL_DICTIONARIES]);
  const left = values.without.split(",").filter((key) => key !== "");
  const wrong = left.filter((key) => !known.has(key));
  if (positionals.length !== 1) throw new UsageError(USAGE);
  if (wrong.length > 0) {
    throw new UsageError(`--without: expected some of ${[...known].join(", ")}; found ${wrong.join(", ")}`);
  }
  const without = new Set(left.flatMap((key) => (key === ALL_DICTIONARIES ? dictionaries : [key])));
  return { outDir: resolve(positionals[0]!), without };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!isUserError(error)) throw error;
  say(error.message);
  process.exitCode = 2;
}
