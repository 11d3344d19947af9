import { access, readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { type Captions, type Collected, distinct, type Picture, type Skipped } from "./picture.ts";

const STAMPS = "usr/share/tuxpaint/stamps";

/** Tux Paint's locale -> our language tag, where it is not simply the part before the dot. */
const LOCALES: Readonly<Record<string, string>> = {
  en_gb: "en",
  en_au: "en",
  pt_br: "pt",
  zh_cn: "zh",
  zh_tw: "zh-hant",
  "sr@latin": "sr-latn",
  "ca@valencia": "ca",
};

/** Indefinite and definite articles a query leaves out. */
const ARTICLES: Readonly<Record<string, RegExp>> = {
  en: /^(an?|the|some)\s+/i,
  de: /^(eine?|einen|der|die|das)\s+/i,
  fr: /^(une?|des|le|la|les|du)\s+|^(l|d)['’]/i,
  es: /^(una?|unos|unas|el|la|los|las)\s+/i,
  it: /^(una?|uno|il|lo|la|i|gli|le|dei|delle|degli)\s+|^(un|l)['’]/i,
  pt: /^(uma?|uns|umas|o|a|os|as)\s+/i,
  ca: /^(una?|uns|unes|el|la|els|les)\s+|^l['’]/i,
  gl: /^(unha|un|o|a|os|as)\s+/i,
  nl: /^(een|de|het)\s+/i,
  sv: /^(en|ett)\s+/i,
  da: /^(en|et)\s+/i,
  nb: /^(en|et|ei)\s+/i,
  nn: /^(ein|eit|ei)\s+/i,
  hu: /^(egy|az?)\s+/i,
  el: /^(ένας|ένα|μία|μια|ο|η|το|οι|τα)\s+/i,
};

/** "A red kangaroo." -> ["red kangaroo", "A red kangaroo"]: the bare noun phrase is what people type. */
export function phrasesOf(sentence: string, language: string): string[] {
  const bare = sentence.replace(/^[\s–-]+|[\s.।|。]+$/gu, "");
  const article = ARTICLES[language];
  const short = article === undefined ? bare : bare.replace(article, "");
  return distinct(short.length >= 2 ? [short, bare] : [bare], 2);
}

/**
 * Reads a stamp's text: the English sentence, then lines of `locale.utf8=sentence`.
 * A translation equal to the English sentence is an untranslated one and is dropped.
 */
export function parseStampText(text: string): Captions {
  const [first = "", ...lines] = text.split(/\r?\n/).map((line) => line.trim());
  const captions: Record<string, string[]> = { en: phrasesOf(first, "en") };
  for (const line of lines) {
    const match = /^([A-Za-z_@]+)\.utf8=(.+)$/.exec(line);
    if (match === null) continue;
    const locale = match[1]!.toLowerCase();
    const language = LOCALES[locale] ?? locale.replace("_", "-");
    const sentence = match[2]!.trim();
    if (language !== "en" && sentence.toLowerCase() === first.toLowerCase()) continue;
    captions[language] = distinct([...(captions[language] ?? []), ...phrasesOf(sentence, language)], 4);
  }
  for (const language of Object.keys(captions)) {
    if (captions[language]!.length === 0) delete captions[language];
  }
  return captions;
}

/** The stamps that have a text beside them. Stamps of one sentence are one group. */
export async function readTuxpaint(unpacked: string): Promise<Collected> {
  const root = join(unpacked, STAMPS);
  const pictures: Picture[] = [];
  const skipped: Skipped[] = [];
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const texts = entries
    .filter((e) => e.isFile() && e.name.endsWith(".txt"))
    .map((e) => join(e.parentPath, e.name))
    .sort();
  for (const text of texts) {
    const stem = text.slice(0, -4);
    const id = `tuxpaint/${relative(root, stem)}`;
    const file = await firstThere([`${stem}.png`, `${stem}.svg`]);
    const captions = parseStampText(await readFile(text, "utf8"));
    const [title] = captions.en ?? [];
    if (file === undefined || title === undefined) {
      const reason = file === undefined ? "a text without a picture" : "its text is empty";
      skipped.push({ id, source: "tuxpaint", reason });
      continue;
    }
    const folder = basename(dirname(stem)) === "cartoon" ? dirname(dirname(stem)) : dirname(stem);
    const withFolder = `${title}, ${basename(folder).replaceAll("_", " ")}`;
    pictures.push({
      id,
      source: "tuxpaint",
      group: `tuxpaint:${title.toLowerCase()}`,
      family: "tuxpaint",
      input: { file },
      trim: true,
      captions: { ...captions, en: distinct([...captions.en!, withFolder], 6) },
    });
  }
  return { pictures, skipped };
}

async function firstThere(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    ) {
      return path;
    }
  }
  return undefined;
}
