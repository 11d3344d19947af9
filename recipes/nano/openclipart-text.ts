/** What the metadata of one clip-art file says, as found. */
export interface ClipText {
  readonly title: string;
  readonly keywords: readonly string[];
  readonly author: string;
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  auml: "ä",
  ouml: "ö",
  uuml: "ü",
  eacute: "é",
};

/** XML text -> plain text; the library's titles are often escaped twice. */
export function unescapeXml(text: string): string {
  const once = (s: string) =>
    s.replace(/&(?:#(\d{1,6})|#x([0-9a-f]{1,5})|([a-z]+));/gi, (whole, dec, hex, name) => {
      if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
      return String.fromCodePoint(Number.parseInt(dec ?? hex, dec === undefined ? 16 : 10) || 32);
    });
  return once(once(text));
}

/** Title, keywords (dc:subject) and author (dc:creator) of an SVG's RDF; empty where it has none. */
export function parseRdf(svg: string): ClipText {
  const rdf = /<rdf:RDF[\s\S]*?<\/rdf:RDF>/.exec(svg)?.[0] ?? "";
  const author = /<dc:creator>[\s\S]*?<dc:title[^>]*>([^<]*)</.exec(rdf)?.[1] ?? "";
  const work = rdf.replace(/<dc:(publisher|creator|rights)>[\s\S]*?<\/dc:\1>/g, "");
  const title = /<dc:title[^>]*>([^<]*)</.exec(work)?.[1] ?? "";
  const keywords = [...work.matchAll(/<rdf:li[^>]*>([^<]*)</g)].map((m) => unescapeXml(m[1]!).trim());
  return { title: unescapeXml(title).trim(), author: unescapeXml(author).trim(), keywords };
}

/** The language an author writes titles in, if not English. */
const AUTHOR_LANGUAGE: readonly (readonly [RegExp, string])[] = [
  [/rollandin/i, "it"],
  [/guillou/i, "fr"],
  [/rinc[oó]n maza/i, "es"],
];

export function languageOf(author: string): string {
  return AUTHOR_LANGUAGE.find(([name]) => name.test(author))?.[1] ?? "en";
}

/** Keywords of the library's own bookkeeping, and folder names that describe nothing one can see. */
const EMPTY_WORDS = new Set(
  (
    "hash,unsorted,signs_and_symbols,clipart,clip art,svg,theme,icons,lemon_theme_icon,mimetypes,magick,special," +
    "united_nations_member,png,duplicates,examples,art,computer icons,openclipart,inkscape,vector,image,object," +
    "mapsym,musicsym,bodypart,signalflag,icon,symbol,signs and symbols,map symbols"
  ).split(","),
);

/** Not for a data set that children's pictures are part of. */
const ADULT = /\b(eroti[ck]\w*|nude|naked|porn\w*|sexy|breasts?|nazi\w*|swastika|hitler|stripper)\b/i;

export function isAdult(path: string, text: ClipText): boolean {
  return ADULT.test(`${path.replace(/[_/-]/g, " ")} ${text.title} ${text.keywords.join(" ")}`);
}

/** Keywords fit for a caption: no bookkeeping, no author, no hexadecimal numbers. */
export function cleanKeywords(text: ClipText): string[] {
  const author = text.author.toLowerCase();
  return text.keywords
    .map((word) => word.toLowerCase().trim())
    .filter((word) => word.length > 2 && word.length < 30 && !EMPTY_WORDS.has(word))
    .filter((word) => !/0x|https?:|@|\d{3}/.test(word) && !(author !== "" && author.includes(word)))
    .filter((word) => !/rollandin|architetto/.test(word))
    .map((word) => word.replaceAll("_", " "));
}

/** Folder names as words, from the inside out, without "theme" folders and bookkeeping. */
export function folderWords(folder: string): string[] {
  return folder
    .split("/")
    .reverse()
    .filter((part) => !EMPTY_WORDS.has(part) && !part.endsWith("-theme"))
    .map((part) => part.replace(/[_-]+/g, " ").toLowerCase());
}

/**
 * "canguro_architetto_franc_01" of "Architetto Francesco Rollandin" -> "canguro": file stems of the library
 * end in as much of the author's name as fits, and a number.
 */
export function stemWithoutAuthor(stem: string, author: string): string {
  const slug = (s: string) => s.toLowerCase().replace(/[^a-z0-9]+/g, "_");
  const name = slug(author);
  const bare = slug(stem)
    .replace(/^clipart_by_/, "")
    .replace(/_+\d*[a-z]?$/, "");
  if (name !== "" && bare.startsWith(`${name}_`)) return bare.slice(name.length + 1);
  for (let at = bare.indexOf("_"); at > 0; at = bare.indexOf("_", at + 1)) {
    const tail = bare.slice(at + 1).replace(/_+$/, "");
    if (tail.length > 1 && name.startsWith(tail)) return bare.slice(0, at);
  }
  return bare.replace(/_+$/, "");
}

/** Words that name a collection or a rendering, not what is to be seen. */
const NOISE =
  /\b(clipart by [^-]*-|svg|png|clip ?art|rpg map elem(?:ents)?|0 symbol 1m bwh|b and w|bw|colou?r|openclipart|gnome|kde|kr|stock|mime|aiga)\b/gi;

/**
 * A title or file stem -> a phrase: no underscores, brackets, numbers at the ends, collection names or
 * camelCase. Empty when nothing that reads like words remains.
 */
export function cleanTitle(raw: string): string {
  const words = raw
    .replace(/^clipart by [^-]*-\s*/i, "")
    .replace(/^star_\d+pt\d+step$/, "star with many points")
    .replace(/([a-z])([A-Z][a-z])/g, "$1 $2")
    .replace(/[_#]+|\s-\s|(?<=\p{L})-(?=\p{L})/gu, " ")
    .replace(/\(([^)]*)\)|\[[^\]]*\]/g, " $1 ")
    .replace(NOISE, " ")
    .replace(/([a-z])\d+\b/gi, "$1")
    .replace(/^[\d\s.,:/-]+(?=\D)|[\s\d.,:/-]+$/g, "")
    .replace(/\bv\d+\b/gi, " ")
    .replace(/\s+/g, " ")
    .trim();
  return (words.match(/\p{L}/gu)?.length ?? 0) >= 3 ? words.toLowerCase() : "";
}

const SUITS: Readonly<Record<string, string>> = { c: "clubs", d: "diamonds", h: "hearts", s: "spades" };
const RANKS: Readonly<Record<string, string>> = { a: "ace", j: "jack", q: "queen", k: "king" };

/** "bordered_d_q" -> "queen of diamonds". */
export function cardTitle(stem: string): string | undefined {
  const match = /^[a-z]+_([cdhs])_(10|[2-9]|[ajqk])$/.exec(stem);
  if (match === null) return undefined;
  return `${RANKS[match[2]!] ?? match[2]!} of ${SUITS[match[1]!]!}`;
}
