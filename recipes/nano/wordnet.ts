import { join } from "node:path";
import { ConfigError } from "../../src/core/errors.ts";
import { readAtMost } from "./read-at-most.ts";

/** A meaning: the nouns for it and its place in the tree. Keys are the offsets in data.noun. */
export interface Synset {
  readonly offset: string;
  /** Lexicographer file, what sort of thing it is: "05" animals, "06" artifacts (lexnames(5WN)). */
  readonly file: string;
  /** As written, underscores as spaces: "red fox", "Alces alces". */
  readonly lemmas: readonly string[];
  /** Hypernyms ("a kind of"), those of proper names included. */
  readonly above: readonly string[];
  /** Hyponyms without proper names. */
  readonly below: readonly string[];
  readonly gloss: string;
}

/** How often a sense was met in WordNet's tagged texts, and its lemma in all senses and parts of speech. */
export interface Counts {
  /** By `lemma offset`, nouns only. */
  readonly sense: ReadonlyMap<string, number>;
  readonly lemma: ReadonlyMap<string, number>;
}

/** The nouns of WordNet (wndb(5WN), senseidx(5WN)). Lemmas that are keys are lower case, with spaces. */
export interface Wordnet {
  readonly synsets: ReadonlyMap<string, Synset>;
  /** Lemma to its synsets, the most frequent sense first. */
  readonly senses: ReadonlyMap<string, readonly string[]>;
  readonly counts: Counts;
}

const FILES = ["data.noun", "index.noun", "index.sense"] as const;
/** Above the largest file and line of WordNet 3.1 by a factor of four at least. */
const FILE_BYTES_MAX = 64 << 20;
const LINE_CHARS_MAX = 64_000;
const PROBLEMS_MAX = 10;

/** Reads the `dict` folder of an unpacked WordNet. Throws ConfigError as `parseWordnet` and on files too large. */
export async function readWordnet(dir: string): Promise<Wordnet> {
  const texts = [];
  for (const file of FILES) {
    texts.push((await readAtMost(join(dir, "dict", file), FILE_BYTES_MAX)).toString("utf8"));
  }
  return parseWordnet({ data: texts[0]!, index: texts[1]!, sense: texts[2]! });
}

/**
 * The texts of data.noun, index.noun and index.sense -> nouns. Throws ConfigError with the first wrong lines,
 * and those whose synsets are missing.
 */
export function parseWordnet(texts: {
  readonly data: string;
  readonly index: string;
  readonly sense: string;
}): Wordnet {
  const problems: string[] = [];
  const synsets = new Map<string, Synset>();
  const senses = new Map<string, string[]>();
  const counts = { sense: new Map<string, number>(), lemma: new Map<string, number>() };
  eachLine("data.noun", texts.data, problems, (line) => {
    const synset = parseSynset(line);
    if (synset !== undefined) synsets.set(synset.offset, synset);
    return synset !== undefined || "offset, file, n, count and words, count and pointers, a bar and a gloss";
  });
  eachLine("index.noun", texts.index, problems, (line) => {
    const found = parseIndex(line);
    if (found === undefined) return "lemma, n, counts, pointers and as many offsets as senses";
    senses.set(found.lemma, found.offsets);
    const lost = found.offsets.find((offset) => !synsets.has(offset));
    return lost === undefined || `offsets that data.noun has (${lost} is not there)`;
  });
  eachLine("index.sense", texts.sense, problems, (line) => {
    const match = /^(\S+)%([1-5]):\S* (\d{8}) \d+ (\d+)\s*$/.exec(line);
    if (match === null) return "a sense key, an offset, a sense number and a count";
    const [lemma, times] = [spaced(match[1]!), Number(match[4])];
    if (match[2] === "1") counts.sense.set(`${lemma} ${match[3]!}`, times);
    counts.lemma.set(lemma, (counts.lemma.get(lemma) ?? 0) + times);
    return true;
  });
  for (const { offset, above, below } of synsets.values()) {
    const lost = [...above, ...below].find((other) => !synsets.has(other));
    if (lost !== undefined && problems.length < PROBLEMS_MAX) {
      problems.push(`data.noun: synset ${offset} points to ${lost}, which is not there`);
    }
  }
  if (problems.length > 0) {
    throw new ConfigError(
      `WordNet's files are damaged, delete the folder and fetch it again:\n  ${problems.join("\n  ")}`,
    );
  }
  return { synsets, senses, counts };
}

/** Calls `read` with every line but the licence's, which begin with two spaces; it returns what was expected. */
function eachLine(
  file: string,
  text: string,
  problems: string[],
  read: (line: string) => true | string,
): void {
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line === "" || line.startsWith("  ")) continue;
    const expected = line.length > LINE_CHARS_MAX ? `at most ${LINE_CHARS_MAX} characters` : read(line);
    if (expected === true) continue;
    problems.push(`${file}, line ${number}: expected ${expected}; found "${line.slice(0, 60)}"`);
    if (problems.length >= PROBLEMS_MAX) return;
  }
}

/** `02435629 05 n 03 elk 0 moose 0 Alces_alces 0 002 @ 02432691 n 0000 #m 02435513 n 0000 | gloss` */
function parseSynset(line: string): Synset | undefined {
  const bar = line.indexOf(" | ");
  const fields = line.slice(0, bar).split(" ");
  const words = Number.parseInt(fields[3] ?? "", 16);
  const pointers = Number.parseInt(fields[4 + 2 * words] ?? "", 10);
  const from = 5 + 2 * words;
  const fits = fields.length === from + 4 * pointers && /^\d{8}$/.test(fields[0]!) && fields[2] === "n";
  if (bar < 0 || !(words > 0) || !fits) return undefined;
  const [above, below]: [string[], string[]] = [[], []];
  for (let at = from; at < fields.length; at += 4) {
    const [symbol, offset] = [fields[at]!, fields[at + 1]!];
    if (symbol === "@" || symbol === "@i") above.push(offset);
    else if (symbol === "~") below.push(offset);
  }
  const lemmas = Array.from({ length: words }, (_, i) => fields[4 + 2 * i]!.replaceAll("_", " "));
  return { offset: fields[0]!, file: fields[1]!, lemmas, above, below, gloss: line.slice(bar + 3).trim() };
}

/** `moose n 1 2 @ #m 1 0 02435629` */
function parseIndex(line: string): { lemma: string; offsets: string[] } | undefined {
  const fields = line.trimEnd().split(" ");
  const [senses, pointers] = [Number(fields[2]), Number(fields[3])];
  const offsets = fields.slice(6 + pointers);
  const fits = fields[1] === "n" && senses > 0 && offsets.length === senses;
  return fits ? { lemma: spaced(fields[0]!), offsets } : undefined;
}

const spaced = (lemma: string): string => lemma.replaceAll("_", " ").toLowerCase();
