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
import { convertAll } from "./convert.ts";
import { obtain } from "./download.ts";
import { readEmojiFonts, readOpenmoji } from "./emoji.ts";
import { readEmoji, vocabularyOf } from "./emoji-text.ts";
import { readFlagPackages } from "./flags.ts";
import { makeManifest, writeJsonl } from "./manifest.ts";
import { readOpenclipart } from "./openclipart.ts";
import type { Collected, Picture, Skipped } from "./picture.ts";
import { SOURCES, type SourceKey } from "./sources.ts";
import { NANO_SEED } from "./split.ts";
import { summarise } from "./summary.ts";
import { readTuxpaint } from "./tuxpaint.ts";

const USAGE = "usage: npx tsx recipes/nano/fetch.ts OUT_DIR [--without SOURCE,SOURCE]";

async function main(args: readonly string[]): Promise<void> {
  const started = performance.now();
  const { outDir, without } = readArgs(args);
  await mkdir(outDir, { recursive: true });
  const dirs = await obtainAll(outDir, without);
  const { pictures, skipped } = await collect(dirs);
  say(`${pictures.length} pictures to convert, ${skipped.length} left out`);
  const converted = await convertAll(pictures, outDir, (done) => {
    if (done % 1000 === 0 || done === pictures.length) say(`converted ${done} of ${pictures.length}`);
  });
  const made = makeManifest(pictures, converted, NANO_SEED);
  const left: Skipped[] = [...skipped, ...made.skipped];
  await writeJsonl(join(outDir, "manifest.jsonl"), made.lines);
  await writeJsonl(join(outDir, "skipped.jsonl"), left);
  const summary = summarise(made.lines, left, (performance.now() - started) / 1000);
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

async function obtainAll(outDir: string, without: ReadonlySet<string>): Promise<Map<SourceKey, string>> {
  const dirs = new Map<SourceKey, string>();
  for (const [at, source] of SOURCES.entries()) {
    const main = source.key === "openclipart-text" ? "openclipart" : source.key;
    if (without.has(main) || without.has(source.key)) continue;
    const size = (source.sizeBytes / 1e6).toFixed(0);
    say(`${at + 1} of ${SOURCES.length}: ${source.name} ${source.version}, ${size} MB, ${source.licence}`);
    dirs.set(source.key, await obtain(source, join(outDir, "downloads"), join(outDir, "sources")));
  }
  return dirs;
}

/** Reads every source that is there. The order is that of the manifest. */
async function collect(dirs: ReadonlyMap<SourceKey, string>): Promise<Collected> {
  const pictures: Picture[] = [];
  const skipped: Skipped[] = [];
  const add = (found: Collected) => {
    pictures.push(...found.pictures);
    skipped.push(...found.skipped);
  };
  const dir = (key: SourceKey) => dirs.get(key);
  const openmojiDir = dir("openmoji");
  const openmoji = openmojiDir === undefined ? undefined : await readOpenmoji(openmojiDir);
  const emoji = await readEmoji(dir("emojibase")!, openmoji?.tags ?? new Map());
  const captions = new Map(emoji.map((e) => [e.group, e.captions]));
  add(await readEmojiFonts(emoji, dir));
  if (openmoji !== undefined) add(openmoji.extras);
  const flags = [dir("flag-icons"), dir("country-flags")] as const;
  add(await readFlagPackages(flags[0], flags[1], (group) => captions.get(group)));
  const [clips, clipText, stamps] = [dir("openclipart"), dir("openclipart-text"), dir("tuxpaint")];
  if (clips !== undefined && clipText !== undefined) {
    add(await readOpenclipart(clips, clipText, (group) => captions.get(group), vocabularyOf(emoji)));
  }
  if (stamps !== undefined) add(await readTuxpaint(stamps));
  return { pictures, skipped };
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
