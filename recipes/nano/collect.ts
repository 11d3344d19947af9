import { join } from "node:path";
import { obtain } from "./download.ts";
import { readEmojiFonts, readOpenmoji } from "./emoji.ts";
import { readEmoji, vocabularyOf } from "./emoji-text.ts";
import { readFlagPackages } from "./flags.ts";
import { readOpenclipart } from "./openclipart.ts";
import type { Collected, Picture, Skipped } from "./picture.ts";
import { SOURCES, type SourceKey } from "./sources.ts";
import { readTuxpaint } from "./tuxpaint.ts";

/** Every source but those left out, unpacked: its key and its folder. */
export async function obtainAll(
  outDir: string,
  without: ReadonlySet<string>,
  say: (line: string) => void,
): Promise<Map<SourceKey, string>> {
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
export async function collect(dirs: ReadonlyMap<SourceKey, string>): Promise<Collected> {
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
