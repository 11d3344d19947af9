import type { Rng } from "../core/rng.ts";
import type { ManifestItem } from "./manifest.ts";

/** How often captions of each language are drawn, relative to each other; "*" stands for all that are not named. */
export type LanguageWeights = Readonly<Record<string, number>>;

/** One table, or a list of tables: a caption of each picture is drawn by each of them. */
export type CaptionTables = LanguageWeights | readonly LanguageWeights[];

/** The tables, one a caption; undefined draws from all languages alike. */
export function captionTables(
  languages: CaptionTables | undefined,
): readonly (LanguageWeights | undefined)[] {
  return Array.isArray(languages) ? languages : [languages as LanguageWeights | undefined];
}

/** How often a language is drawn by a table. */
const weightOf = (table: LanguageWeights | undefined, language: string): number =>
  table === undefined ? 1 : (own(table, language) ?? own(table, EVERY_OTHER) ?? 0);

const EVERY_OTHER = "*";

/** The languages of an item that can be drawn, with their weights. No table: all languages alike. */
function drawable(
  item: ManifestItem,
  table: LanguageWeights | undefined,
): [texts: readonly string[], w: number][] {
  return Object.entries(item.captions)
    .map(([language, texts]): [readonly string[], number] => [texts, weightOf(table, language)])
    .filter(([, weight]) => weight > 0);
}

/** How many captions of each of an item's languages a step draws on average. */
export function languageShares(
  present: readonly string[],
  languages: CaptionTables | undefined,
): ReadonlyMap<string, number> {
  const shares = new Map(present.map((language) => [language, 0]));
  for (const table of captionTables(languages)) {
    const total = present.reduce((sum, language) => sum + weightOf(table, language), 0);
    for (const language of present)
      if (total > 0) shares.set(language, shares.get(language)! + weightOf(table, language) / total);
  }
  return shares;
}

const own = (table: LanguageWeights, key: string): number | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

/** Whether any caption of the item can be drawn. */
export const hasCaption = (item: ManifestItem, table?: LanguageWeights): boolean =>
  drawable(item, table).length > 0;

/**
 * A caption: a language by weight among those that the item has, then its first text with the probability
 * `firstShare` (manifests put the name of a thing first), else one of all, all alike.
 */
export function drawCaption(
  item: ManifestItem,
  table: LanguageWeights | undefined,
  rng: Rng,
  firstShare = 0,
): string {
  const choices = drawable(item, table);
  let left = rng.uniform() * choices.reduce((sum, [, weight]) => sum + weight, 0);
  const choice =
    choices.find(([, weight]) => {
      left -= weight;
      return left < 0;
    }) ?? choices.at(-1)!;
  const [texts] = choice;
  return firstShare > 0 && rng.uniform() < firstShare ? texts[0]! : texts[rng.int(texts.length)]!;
}
