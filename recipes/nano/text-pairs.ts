import type { TextLine } from "../../src/data/text-pairs.ts";
import type { Dictionary } from "./dictionaries.ts";
import { ancestors, countBelow, countMentions, MENTIONS_MIN, NAME_BELOW_MAX, rank } from "./neighbours.ts";
import { distinct } from "./picture.ts";
import type { Synset, Wordnet } from "./wordnet.ts";

/** Things one can see, by lexicographer file: living things, parts of bodies, artifacts, food, nature, places, shapes. */
const VISIBLE = new Set(["05", "06", "08", "13", "15", "17", "18", "19", "20", "25"]);

const SYNONYMS_MAX = 3;
const BROADER_MAX = 3;
const GLOSS_WORDS_MAX = 12;

/** No preferred words: which pictures there are, held out or not, has no influence on the pairs. */
const NO_VOCABULARY: ReadonlySet<string> = new Set();

/**
 * What common English names of things one can see mean: for each meaning a line with its name, synonyms, broader terms
 * and the gloss, and for each name a line with its translations. They supply what the captions of a few thousand
 * pictures cannot: what a word of a thing means of which no picture was seen.
 */
export function makeTextPairs(wordnet: Wordnet, dictionaries: readonly Dictionary[]): TextLine[] {
  const below = countBelow(wordnet);
  const mentions = countMentions(wordnet);
  const namesOf = (synset: Synset): string[] => {
    const lemmas = rank(wordnet, NO_VOCABULARY, mentions, [synset]);
    return lemmas.filter((lemma) => (mentions.get(lemma) ?? 0) >= MENTIONS_MIN);
  };
  const lines: TextLine[] = [];
  const translated = new Set<string>();
  for (const synset of wordnet.synsets.values()) {
    if (!VISIBLE.has(synset.file) || below.get(synset.offset)! > NAME_BELOW_MAX) continue;
    const [name, ...synonyms] = namesOf(synset);
    if (name === undefined) continue;
    const broader = ancestors(wordnet, synset).filter((one) => below.get(one.offset)! <= NAME_BELOW_MAX);
    const above = broader.flatMap((one) => namesOf(one).slice(0, 1)).slice(0, BROADER_MAX);
    add(lines, name, [...synonyms.slice(0, SYNONYMS_MAX), ...above, shortGloss(synset.gloss)]);
    for (const word of [name, ...synonyms]) {
      if (translated.has(word)) continue;
      translated.add(word);
      add(
        lines,
        word,
        dictionaries.flatMap((dictionary) => dictionary.get(word) ?? []),
      );
    }
  }
  return lines;
}

/** Adds a line when there is another text than the name. */
function add(lines: TextLine[], name: string, others: readonly string[]): void {
  const [, first, ...rest] = distinct([name, ...others], Number.POSITIVE_INFINITY);
  if (first !== undefined) lines.push({ texts: [name, first, ...rest] });
}

/** The definition's beginning, without examples and remarks in brackets. */
function shortGloss(gloss: string): string {
  const definition = gloss.replace(/\([^)]*\)/g, " ").split(/;|: "/)[0]!;
  return definition.trim().split(/\s+/).slice(0, GLOSS_WORDS_MAX).join(" ");
}
