import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ConfigError } from "../../src/core/errors.ts";
import { distinct } from "./picture.ts";
import { readAtMost } from "./read-at-most.ts";
import type { SourceKey } from "./sources.ts";

/** English headwords, lower case, to what another language calls the thing. */
export type Dictionary = ReadonlyMap<string, readonly string[]>;

/** Above FreeDict's largest dictionary (English-German) by a factor of two at least. */
const FILE_BYTES_MAX = 32 << 20;
const TEXT_BYTES_MAX = 256 << 20;

/** Of a name's entries and their senses so many words are taken: its usual meaning is the first only often. */
const NAMES_MAX = 3;
const SENSES_MAX = 2;
const NAME_CHARS_MAX = 32;
const NAME_WORDS_MAX = 2;

/** Marks of words that are no names of things, as the dictionaries write them. */
const OTHER_PARTS_OF_SPEECH = /<(?:v|vt|vi|vti|v phras|adj|adv|prep|conj|int|phrase|proverb)\b[^>]*>/i;
const NOUN = /<(?:n|s)>/i;
/** Lines of an entry that translate nothing: examples, notes, references. */
const NO_TRANSLATION = /^(?:"|see:|note:|synonyms?:|- )/i;
const MARKS = /<[^>]*>|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}/g;

/** How the keys of the sources that are dictionaries begin; their language follows. */
export const DICTIONARY = "freedict-";

/** The dictionaries among the sources that are there. */
export function readDictionaries(dirs: ReadonlyMap<SourceKey, string>): Promise<Dictionary[]> {
  const found = [...dirs].filter(([key]) => key.startsWith(DICTIONARY));
  return Promise.all(found.map(([key, dir]) => readDictionary(dir, key.slice(DICTIONARY.length))));
}

/** Reads FreeDict's dictionary from English, e.g. to "deu", of an unpacked Debian package. Throws ConfigError. */
export async function readDictionary(dir: string, language: string): Promise<Dictionary> {
  const base = join(dir, "usr/share/dictd", `freedict-eng-${language}`);
  const index = (await readAtMost(`${base}.index`, FILE_BYTES_MAX)).toString("utf8");
  const compressed = await readAtMost(`${base}.dict.dz`, FILE_BYTES_MAX);
  const text = gunzipSync(compressed, { maxOutputLength: TEXT_BYTES_MAX });
  return parseDictionary(index, text, base);
}

/**
 * Parses the index (lines of headword, offset and size in base 64, with tabs) and the text of a dictd dictionary
 * (dictfmt(1)). Throws ConfigError with the first line that cannot be understood.
 */
export function parseDictionary(index: string, text: Uint8Array, name: string): Dictionary {
  const decoder = new TextDecoder();
  const entries = new Map<string, string[]>();
  for (const [number, line] of index.split("\n").entries()) {
    if (line === "" || line.startsWith("00-")) continue; // 00-…: about the dictionary
    const [head, offset, size] = line.split("\t");
    const [from, length] = [base64(offset), base64(size)];
    if (head === undefined || from === undefined || length === undefined || from + length > text.length)
      throw new ConfigError(
        `${name}.index, line ${number + 1}: expected a word and its place in the dictionary, found "${line.slice(0, 60)}"; delete the folder and fetch it again`,
      );
    const entry = decoder.decode(text.subarray(from, from + length));
    const key = head.toLowerCase();
    // Abbreviations lead to what they are short for: a computed axial tomography is no cat.
    if (headOf(entry).toLowerCase() === key) entries.set(key, [...(entries.get(key) ?? []), entry]);
  }
  return new Map([...entries].map(([key, list]) => [key, namesOf(list)]));
}

/** The word that an entry explains, before its pronunciation and marks. */
const headOf = (entry: string): string =>
  entry
    .split("\n", 1)[0]!
    .split(/ [/<(]/, 1)[0]!
    .trim();

/** First the first name of each entry, the usual meanings before others: they have most examples. Then the second. */
function namesOf(entries: readonly string[]): string[] {
  const lists = [...entries].sort((a, b) => b.length - a.length).map(translations);
  const ranks = Array.from({ length: SENSES_MAX }, (_, rank) => rank);
  return distinct(
    ranks.flatMap((rank) => lists.flatMap((names) => names.slice(rank, rank + 1))),
    NAMES_MAX,
  );
}

/** The first name of each of an entry's first senses; none where it is no noun. */
export function translations(entry: string): string[] {
  const [head = "", ...lines] = entry.split("\n").map((line) => line.trim());
  if (OTHER_PARTS_OF_SPEECH.test(head) && !NOUN.test(head)) return [];
  const names: string[] = [];
  let first = true;
  for (const line of lines) {
    if (line === "" || NO_TRANSLATION.test(line)) continue;
    const sense = line.replace(/^[IV]+\.\s*/, "");
    if (OTHER_PARTS_OF_SPEECH.test(sense)) break; // so is all that follows
    const numbered = /^(?:<[^>]*>\s*)?\d+\./.test(sense);
    if (first || numbered) names.push(...nameIn(sense));
    first = false; // lines without a number explain the sense before them
    if (names.length >= SENSES_MAX) break;
  }
  return names;
}

/** The first of a sense's words that can be a name. */
function nameIn(sense: string): string[] {
  const plain = sense
    .replace(MARKS, " ")
    .replace(/^\s*\d+\./, "")
    .replaceAll("~", " ");
  const words = plain.split(/[,;、]/).map((word) => word.replace(/\s+/g, " ").trim());
  const name = words.find((word) => {
    const short = word.length <= NAME_CHARS_MAX && word.split(" ").length <= NAME_WORDS_MAX;
    return word.length > 0 && short && !/[.:/=…]|^[-\u2010]|[-\u2010]$/.test(word);
  });
  return name === undefined ? [] : [name];
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** dictd's numbers: digits of base 64, the most significant first. */
function base64(digits = ""): number | undefined {
  let n = 0;
  for (const digit of digits) {
    const value = DIGITS.indexOf(digit);
    if (value < 0) return undefined;
    n = n * 64 + value;
  }
  return digits === "" || !Number.isSafeInteger(n) ? undefined : n;
}
