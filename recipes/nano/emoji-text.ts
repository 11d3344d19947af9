import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { flagCaptions } from "./flags.ts";
import { type Captions, distinct } from "./picture.ts";

/** One emoji without skin tone, with what every language calls it. */
export interface Emoji {
  /** Code points in upper-case hex joined by "-", without the variation selector FE0F. */
  readonly hexcode: string;
  /** `flag:DE` for the flag of a country, else `emoji:<hexcode>`. */
  readonly group: string;
  /** The English label, for sources that name their pictures by it. */
  readonly label: string;
  readonly captions: Captions;
}

const entries = z.array(
  z.object({
    label: z.string(),
    hexcode: z.string(),
    tags: z.array(z.string()).optional(),
    group: z.number().optional(),
    subgroup: z.number().optional(),
  }),
);
type Entry = z.infer<typeof entries>[number];

/** emojibase's number of the group "component" (skin tones, hair); single regional letters have no group. */
const COMPONENT = 2;
const COUNTRY_FLAG = 98;

/** A tag that more emoji than this share ("face", "animal") is no query for one picture. */
const TAG_SHARED_BY = 6;
const TAGS_ALONE = 5;
const CAPTIONS_MAX = 9;

/** Regional variants that add other words to a language instead of being one. */
const VARIANTS: Readonly<Record<string, string>> = { "en-gb": "en", "es-mx": "es" };

/** "1F469-200D-FE0F" in any case or with FE0F -> the form used as a key here. */
export function normaliseHexcode(hexcode: string): string {
  return hexcode.toUpperCase().replaceAll("-FE0F", "").replaceAll("FE0F-", "");
}

/**
 * Reads emojibase-data's `data.json` of every language.
 * `extraTags` are English tags by hexcode from elsewhere (OpenMoji's annotators).
 */
export async function readEmoji(
  dir: string,
  extraTags: ReadonlyMap<string, readonly string[]>,
): Promise<Emoji[]> {
  const languages = await languagesOf(dir);
  const byLanguage = new Map<string, Entry[]>();
  for (const language of languages) {
    byLanguage.set(language, await readLanguage(join(dir, language, "data.json")));
  }
  const captions = new Map<string, Record<string, string[]>>();
  for (const [language, list] of byLanguage) {
    const shared = countTags(list);
    for (const entry of list) {
      const hexcode = normaliseHexcode(entry.hexcode);
      const all = captions.get(hexcode) ?? {};
      const more = language === "en" ? (extraTags.get(hexcode) ?? []) : [];
      const phrases = phrasesOf(entry, more, shared);
      const into = VARIANTS[language] ?? language;
      // Regional variants come after their language ("en" < "en-gb"), so they only add to it.
      all[into] = distinct([...(all[into] ?? []), ...phrases], CAPTIONS_MAX + (into === language ? 0 : 2));
      captions.set(hexcode, all);
    }
  }
  return byLanguage.get("en")!.map((entry) => {
    const hexcode = normaliseHexcode(entry.hexcode);
    const region = entry.subgroup === COUNTRY_FLAG ? regionOf(hexcode) : undefined;
    const own = captions.get(hexcode)!;
    return {
      hexcode,
      group: region === undefined ? `emoji:${hexcode}` : `flag:${region}`,
      label: entry.label,
      captions: region === undefined ? own : { ...own, ...flagCaptions(region, own) },
    };
  });
}

/** The English words of all labels and phrases, lower case: what a caption's words are checked against. */
export function vocabularyOf(emoji: readonly Emoji[]): ReadonlySet<string> {
  const phrases = emoji.flatMap((e) => e.captions.en ?? []);
  return new Set(phrases.flatMap((phrase) => phrase.toLowerCase().split(/[^\p{L}\d-]+/u)));
}

/** Label; its most telling tags; the label with them; two tags together when one says little. */
function phrasesOf(entry: Entry, more: readonly string[], shared: ReadonlyMap<string, number>): string[] {
  const label = entry.label;
  const tags = distinct([...(entry.tags ?? []), ...more], 30).filter(
    (tag) => tag.toLowerCase() !== label.toLowerCase() && tag.length > 1,
  );
  const count = (tag: string) => shared.get(tag.toLowerCase()) ?? 1;
  const telling = [...tags].sort((a, b) => count(a) - count(b));
  const alone = telling.filter((tag) => count(tag) <= TAG_SHARED_BY).slice(0, TAGS_ALONE);
  const broad = telling.filter((tag) => count(tag) > TAG_SHARED_BY);
  const adds = (tag: string) => !label.toLowerCase().includes(tag.toLowerCase());
  const [first, second] = [alone.filter(adds), broad.filter(adds)];
  const phrases = [label, ...alone];
  if (first.length > 0) phrases.push(`${label}, ${first.slice(0, 2).join(", ")}`);
  if (second.length > 0) phrases.push([first[0] ?? label, second[0]!].join(", "));
  if (second.length > 1) phrases.push(`${label}, ${second.slice(0, 2).join(", ")}`);
  return phrases;
}

function countTags(list: readonly Entry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const entry of list) {
    for (const tag of new Set((entry.tags ?? []).map((t) => t.toLowerCase()))) {
      counts.set(tag, (counts.get(tag) ?? 0) + 1);
    }
  }
  return counts;
}

async function languagesOf(dir: string): Promise<string[]> {
  const folders = (await readdir(dir, { withFileTypes: true })).filter((e) => e.isDirectory());
  return folders
    .map((e) => e.name)
    .filter((name) => /^[a-z]{2}(-[a-z]+)?$/.test(name))
    .sort();
}

async function readLanguage(path: string): Promise<Entry[]> {
  const list = entries.parse(JSON.parse(await readFile(path, "utf8")));
  return list.filter((entry) => entry.group !== undefined && entry.group !== COMPONENT);
}

/** Two regional indicator letters -> the region's code: "1F1E9-1F1EA" -> "DE". */
export function regionOf(hexcode: string): string | undefined {
  const letters = hexcode.split("-").map((code) => Number.parseInt(code, 16) - 0x1f1e6);
  if (letters.length !== 2 || letters.some((n) => !(n >= 0 && n < 26))) return undefined;
  return letters.map((n) => String.fromCharCode(65 + n)).join("");
}
