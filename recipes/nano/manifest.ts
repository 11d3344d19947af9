import { rename, writeFile } from "node:fs/promises";
import { type Converted, imagePath } from "./convert.ts";
import { findNoun, neighbourFinder } from "./neighbours.ts";
import { type Captions, distinct, type Picture, type Skipped } from "./picture.ts";
import { type SourceKey, sourceOf } from "./sources.ts";
import { type Split, splitPictures } from "./split.ts";
import type { Wordnet } from "./wordnet.ts";

/** One line of manifest.jsonl, what the trainer reads. */
export interface ManifestLine {
  readonly image: string;
  readonly captions: Captions;
  readonly group: string;
  readonly split: Split;
  readonly source: SourceKey;
  readonly licence: string;
}

/**
 * Lines for the pictures that could be converted, in the order given (surplus ones last), and those left out. Of two clip-art
 * pictures equal in every pixel only the first stays; emoji keep theirs (one drawing may serve two emoji).
 */
export function makeManifest(
  pictures: readonly Picture[],
  converted: ReadonlyMap<string, Converted>,
  seed: number,
): { readonly lines: readonly ManifestLine[]; readonly skipped: readonly Skipped[] } {
  const skipped: Skipped[] = [];
  const kept: (Picture & { readonly pixels: string })[] = [];
  const seen = new Set<string>();
  // Surplus pictures last: none of them takes the place of one that trains.
  for (const picture of [...pictures.filter((p) => !p.surplus), ...pictures.filter((p) => p.surplus)]) {
    const { id, source } = picture;
    const result = converted.get(id);
    const pixels = result?.pixels ?? "";
    if (pixels === "") skipped.push({ id, source, reason: result?.refused ?? "not converted" });
    else if (picture.family === "openclipart" && seen.has(pixels)) {
      skipped.push({ id, source, reason: "the same pixels as a picture before" });
    } else {
      seen.add(pixels);
      kept.push({ ...picture, pixels });
    }
  }
  const splits = splitPictures(kept, seed);
  const lines: ManifestLine[] = [];
  for (const { id, captions, group, source } of kept) {
    const split = splits.get(id);
    const { licence } = sourceOf(source);
    if (split === undefined) skipped.push({ id, source, reason: "many of this title are there already" });
    else lines.push({ image: imagePath(id), captions, group, split, source, licence });
  }
  return { lines, skipped };
}

/**
 * The lines with related English words after the captions of those in training (flags: only "flag"). What words are
 * preferred depends on the training lines alone: the names of held-out pictures would be a hint of the answers.
 */
export function addWords(lines: readonly ManifestLine[], wordnet: Wordnet): readonly ManifestLine[] {
  const english = lines.flatMap(({ split, captions }) =>
    split === "train" && captions.en !== undefined && captions.en.length > 0 ? [captions.en] : [],
  );
  const vocabulary = new Set(english.flat().map((phrase) => phrase.toLowerCase()));
  const names = english.map((phrases) => phrases[0]!);
  const nouns = names.map((name) => findNoun(wordnet, name, vocabulary) ?? "");
  const taken = new Set([...names.map((name) => name.toLowerCase()), ...nouns]);
  const find = neighbourFinder(wordnet, vocabulary, taken);
  const turns = new Map<string, number>(); // group -> drawings so far
  return lines.map((line) => {
    const { en } = line.captions;
    if (line.split !== "train" || en === undefined || en.length === 0) return line;
    if (line.group.startsWith("flag:"))
      return { ...line, captions: { ...line.captions, en: [...en, "flag"] } };
    const turn = turns.get(line.group) ?? 0;
    turns.set(line.group, turn + 1);
    const { same, near } = find(en[0]!, en.slice(1), turn);
    const words = distinct([...en, ...same, ...near], Number.POSITIVE_INFINITY);
    return { ...line, captions: { ...line.captions, en: [...en, ...words.slice(en.length)] } };
  });
}

/** One drawing style a hand, and no source of flags alone: the pictures of the trial that nano is measured against. */
const TRIAL_SOURCES: ReadonlySet<SourceKey> = new Set<SourceKey>([
  "noto",
  "twemoji",
  "fluent-3d",
  "openclipart",
  "tuxpaint",
]);

/** The held-out concepts in the trial's mixture: of its five sources, crowded titles as often as the library has them. */
export const trialConcepts = (lines: readonly ManifestLine[]): readonly ManifestLine[] =>
  lines.filter(
    ({ split, source }) =>
      (split === "heldout-concepts" || split === "heldout-surplus") && TRIAL_SOURCES.has(source),
  );

/** Writes JSON lines by way of a second file: a reader sees the old or the new one, never half. */
export async function writeJsonl(path: string, lines: readonly unknown[]): Promise<void> {
  await writeFile(`${path}.part`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  await rename(`${path}.part`, path);
}
