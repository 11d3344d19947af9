/**
 * Fetches nano's pictures and words, converts and splits them:
 *
 *     npx tsx recipes/nano/fetch.ts OUT_DIR [--without SOURCE,SOURCE]
 *
 * OUT_DIR gets downloads/, sources/, images/, manifest.jsonl, skipped.jsonl and SUMMARY.md. What is already
 * there is checked and not fetched or converted again.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { isUserError, UsageError } from "../../src/core/errors.ts";
import { collect, obtainAll } from "./collect.ts";
import { convertAll } from "./convert.ts";
import { addWords, makeManifest, writeJsonl } from "./manifest.ts";
import type { Skipped } from "./picture.ts";
import { SOURCES } from "./sources.ts";
import { NANO_SEED } from "./split.ts";
import { summarise } from "./summary.ts";
import { readWordnet } from "./wordnet.ts";

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
  const lines = words === undefined ? made.lines : addWords(made.lines, await readWordnet(words));
  const left: Skipped[] = [...skipped, ...made.skipped];
  await writeJsonl(join(outDir, "manifest.jsonl"), lines);
  await writeJsonl(join(outDir, "skipped.jsonl"), left);
  const summary = summarise(lines, left, (performance.now() - started) / 1000);
  await writeFile(join(outDir, "SUMMARY.md"), summary);
  process.stdout.write(summary);
}

function readArgs(args: readonly string[]): { outDir: string; without: ReadonlySet<string> } {
  const options = { without: { type: "string", default: "" } } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const without = new Set(values.without.split(",").filter((key) => key !== ""));
  const known: readonly string[] = SOURCES.map((s) => s.key);
  const wrong = [...without].filter((key) => !known.includes(key) || key === "emojibase");
  if (positionals.length !== 1) throw new UsageError(USAGE);
  if (wrong.length > 0) {
    const choice = known.filter((key) => key !== "emojibase").join(", ");
    throw new UsageError(`--without: expected some of ${choice}; found ${wrong.join(", ")}`);
  }
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
