import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { flagGroup, plainName, regionsByEnglishName } from "./flags.ts";
import {
  type ClipText,
  cardTitle,
  cleanKeywords,
  cleanTitle,
  folderWords,
  isAdult,
  languageOf,
  parseRdf,
  stemWithoutAuthor,
} from "./openclipart-text.ts";
import { englishTitle } from "./openclipart-titles.ts";
import { type Captions, type Collected, distinct, type Picture, type Skipped } from "./picture.ts";

const PNG = "usr/share/openclipart/png";
const SVG = "usr/share/openclipart/svg";

/** A title on this many files names a collection ("Lemon SVG theme"); the file's name says more. */
const COLLECTION = 4;
/** More pictures of one title than this (1,375 stars "gramastar") teach nothing new: the others are surplus. */
const SERIES_MAX = 12;
/** A keyword on more files than this is no query for one picture. */
const KEYWORD_SHARED_BY = 12;

/** Program logos called by the program's name: neither free of trademarks nor of use. */
const LEFT_OUT = /(^|\/)(apps|applications)\/|(^|\/)logos\/|computer\/icons\/plastik|^special\/examples\//;

/** Their files are called after the program's actions ("irkickflash"): kept when every word is English. */
const ICON_THEME = /computer\/icons\/.*theme|computer\/icons\/70a/;

interface Clip {
  readonly path: string; // relative, without ending
  readonly text: ClipText;
}

/**
 * The Open Clip Art Library: pictures of the PNG package, words from the RDF of the same path in the SVG
 * package. Symbolic links (the same picture in a second folder) are not pictures of their own.
 */
export async function readOpenclipart(
  pngDir: string,
  svgDir: string,
  captionsOf: (group: string) => Captions | undefined,
  vocabulary: ReadonlySet<string>,
): Promise<Collected> {
  const [png, svg] = [join(pngDir, PNG), join(svgDir, SVG)];
  const skipped: Skipped[] = [];
  const skip = (path: string, reason: string) =>
    skipped.push({ id: `openclipart/${path}`, source: "openclipart", reason });
  const clips: Clip[] = [];
  const entries = await readdir(png, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((e) => e.name.endsWith(".png"))) {
    const path = relative(png, join(entry.parentPath, entry.name)).slice(0, -4);
    const text = await textOf(join(svg, `${path}.svg`));
    if (entry.isSymbolicLink()) skip(path, "a link to a picture in another folder");
    else if (LEFT_OUT.test(path)) skip(path, "logos, icon themes of programs, and examples are left out");
    else if (text === undefined) skip(path, "links to a picture that is not there");
    else if (isAdult(path, text)) skip(path, "adult or hateful by its words");
    else clips.push({ path, text });
  }
  clips.sort((a, b) => (a.path < b.path ? -1 : 1)); // readdir's order differs between machines
  const words = { clips: count(clips.flatMap((c) => cleanKeywords(c.text))), known: vocabulary };
  const titles = count(clips.map((c) => c.text.title));
  const regions = regionsByEnglishName();
  const series = new Map<string, number>();
  const pictures: Picture[] = [];
  for (const clip of clips) {
    const own = titleOf(clip, titles);
    const title = englishTitle(own) ?? own;
    const region = regionOf(clip, own, regions);
    const group = region === undefined ? `openclipart:${title}` : flagGroup(region)!;
    const known = !ICON_THEME.test(clip.path) || own.split(" ").every((word) => vocabulary.has(word));
    const captions =
      region !== undefined ? captionsOf(group) : known ? captionsFor(clip, own, words) : undefined;
    const before = series.get(group) ?? 0;
    series.set(group, before + 1);
    if (captions === undefined) skip(clip.path, "no words that say what it shows");
    else {
      const made = picture(clip, png, region, title === "" ? `openclipart:${clip.path}` : group, captions);
      pictures.push(title !== "" && before >= SERIES_MAX ? { ...made, surplus: true } : made);
    }
  }
  return { pictures, skipped };
}

function picture(
  clip: Clip,
  root: string,
  region: string | undefined,
  group: string,
  captions: Captions,
): Picture {
  return {
    id: `openclipart/${clip.path}`,
    source: "openclipart",
    group,
    family: region === undefined ? "openclipart" : "rectangle", // a flag's rectangle is always the same drawing
    input: { file: join(root, `${clip.path}.png`) },
    trim: !clip.path.includes("/flags/"), // a white flag has no margins
    captions,
  };
}

/** An SVG `<image>` whose picture lies in another file: the library's PNG shows "Linked Image Not Found". */
const LINKED_IMAGE = /<image\b[^>]*xlink:href="(?!data:|#)/;

/** The words of the SVG; undefined when it links to a picture that is not there. */
async function textOf(path: string): Promise<ClipText | undefined> {
  try {
    const svg = await readFile(path, "utf8");
    return LINKED_IMAGE.test(svg) ? undefined : parseRdf(svg);
  } catch {
    return { title: "", keywords: [], author: "" }; // a picture without an SVG: its name serves
  }
}

/** The file's own title, or its name where the title is missing or that of a collection. */
function titleOf(clip: Clip, titles: ReadonlyMap<string, number>): string {
  const stem = basename(clip.path);
  const card = cardTitle(stem);
  if (card !== undefined) return card;
  const own = (titles.get(clip.text.title) ?? 0) >= COLLECTION ? "" : cleanTitle(clip.text.title);
  if (own !== "") return own;
  return cleanTitle(stemWithoutAuthor(stem, clip.text.author));
}

/** The country whose present national flag the picture is. */
function regionOf(clip: Clip, title: string, regions: ReadonlyMap<string, string>): string | undefined {
  if (!clip.path.includes("/flags/") || /historic|semaphore/.test(clip.path)) return undefined;
  const names = [basename(clip.path), title.replace(/\bflag\b/g, " ")];
  return names.map((name) => regions.get(plainName(name))).find((code) => code !== undefined);
}

/** How often the library uses a keyword, and the English words that the emoji's annotations use. */
interface Words {
  readonly clips: ReadonlyMap<string, number>;
  readonly known: ReadonlySet<string>;
}

/**
 * Title first; with what it is about; telling keywords by themselves; without a title, keywords and folders.
 * undefined when nothing says what the picture shows. Titles in another language keep it, beside English.
 */
function captionsFor(clip: Clip, title: string, words: Words): Captions | undefined {
  const count = (word: string) => words.clips.get(word) ?? 0;
  const language = languageOf(clip.text.author);
  const keywords = distinct(cleanKeywords(clip.text), 12).sort((a, b) => count(a) - count(b));
  const telling = keywords
    .filter((word) => count(word) <= KEYWORD_SHARED_BY && (count(word) > 1 || words.known.has(word)))
    .slice(0, 4);
  const english = language === "en" ? title : englishTitle(title);
  const own = language === "en" || title === "" ? {} : { [language]: [title] };
  const about = distinct([...[...keywords].reverse(), ...folderWords(dirname(clip.path))], 6)
    .filter((word) => !(english ?? "").includes(word.replace(/s$/, "")))
    .slice(0, 2);
  if (english !== undefined && english !== "") {
    const flag = clip.path.includes("/flags/") && !english.includes("flag") ? [`${english} flag`] : [];
    const joined = about.length === 0 ? [] : [`${english}, ${about.join(", ")}`];
    return { ...own, en: distinct([...flag, english, ...joined, ...telling], 7) };
  }
  if (telling.length > 0) return { ...own, en: distinct([telling.slice(0, 2).join(", "), ...telling], 5) };
  return title === "" ? undefined : own;
}

function count(values: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** The author that the SVG of a picture names, without addresses; "unknown" if it names none. */
export async function authorOf(svgDir: string, id: string): Promise<string> {
  const text = await textOf(join(svgDir, SVG, `${id.replace(/^openclipart\//, "")}.svg`));
  const name = (text?.author ?? "").replace(/\S+@\S+|https?:\S+|[()[\]]/g, " ").trim();
  return name === "" ? "unknown" : name;
}
