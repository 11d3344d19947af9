import { distinct } from "./picture.ts";
import type { Synset, Wordnet } from "./wordnet.ts";

/** Other words for what a picture shows. */
export interface Neighbours {
  /** True names: synonyms, and the next broader term. */
  readonly same: readonly string[];
  /** Names of related things: kinds of it, and other things of its kind. */
  readonly near: readonly string[];
}

/**
 * Finds the neighbours of a picture's English name; `others` are its other English captions. Of many near words every
 * `turn` (0, 1, …: the drawings of one thing) gets others, the more common ones first.
 */
export type FindNeighbours = (name: string, others: readonly string[], turn: number) => Neighbours;

const NONE: Neighbours = { same: [], near: [] };
const SAME_MAX = 3;
const NEAR_MAX = 6;
/** The near words of a thing are given out in so many turns, then again from the start. */
const TURNS = 6;

/** Below this the tagged texts do not tell a word's usual meaning. */
const MET_FEW = 5;

/** A word mentioned less often than this is none that people say. */
export const MENTIONS_MIN = 3;

/** A term with more meanings below it, counted with repeats ("artifact", "person"), says too little for a caption. */
export const NAME_BELOW_MAX = 2500;

/**
 * The sorts of things that have near ones, by lexicographer file, and how many meanings a broader term may have
 * below it to join them: all musical instruments are "devices", as are most of the other things one can make.
 * Feelings, symbols or parts of the body have none: their sisters are no help to tell what a picture shows.
 */
const KIND_BELOW_MAX: Readonly<Record<string, number>> = {
  "04": 20, // acts: sports, games
  "05": 700, // animals
  "06": 200, // artifacts
  "13": 300, // food
  "17": 40, // natural objects
  "18": 60, // people
  "19": 40, // natural phenomena
  "20": 60, // plants
};

/** What can be drawn: those, and parts of the body, signs, groups, places and shapes; not the heart of the matter. */
const DRAWABLE = new Set([...Object.keys(KIND_BELOW_MAX), "08", "10", "14", "15", "25"]);

/** Living things and food have steps in the tree that no one speaks of: here relatives are looked for further up. */
const STEPS: Readonly<Record<string, number>> = { "05": 3, "13": 2, "20": 1 };

/**
 * What a longer name's last words must not be alone: all smileys are faces, all signs buttons; a colour or a
 * single letter at the end of a title is no thing.
 */
const EMPTY_HEADS = new Set(
  (
    "face,button,symbol,sign,mark,key,letter,keycap,icon,flag,map,person,people,man,woman,men,women,boy,girl,logo,one," +
    "type,style,version,set,side,back,front,top,left,right,up,down,small,large,red,orange,yellow,green,blue,purple," +
    "pattern,pink,brown,black,white,grey,gray,gold,silver,light,dark,alternate,personal,simple,color,colour,outline,shape"
  ).split(","),
);

/** Where a name's head ends: "glass of milk" is a glass, "man tipping hand" a man. */
const HEAD_END = /[:,;(]|\s(?:with|of|in|on|for|at|from|to|and|or|without|under|over|behind|by|\S+ing)\s/i;

/** Words of glosses and captions that tell no senses apart. */
const STOP = new Set(
  "the and for with from that this its are was has have used not into one who which".split(" "),
);

/**
 * `vocabulary`: words or phrases, lower case, that go before others; `taken`: names of training pictures, which
 * `near` leaves out: they have pictures of their own, another's would only blur them.
 */
export function neighbourFinder(
  wordnet: Wordnet,
  vocabulary: ReadonlySet<string>,
  taken: ReadonlySet<string>,
): FindNeighbours {
  const below = countBelow(wordnet);
  const mentions = countMentions(wordnet);
  const size = (offset: string) => below.get(offset)!;
  const rankOf = (list: readonly Synset[]) => rank(wordnet, vocabulary, mentions, list);
  const found = new Map<string, Neighbours>();
  const ofSynset = (synset: Synset): Neighbours => {
    const above = broader(wordnet, [synset], NAME_BELOW_MAX, size);
    const own = rankOf([synset]);
    const met = (word: string) => (mentions.get(word) ?? 0) >= MENTIONS_MIN;
    const single = (word: string) => !word.includes(" ");
    const names = rankOf(above).filter((word) => vocabulary.has(word) || (single(word) && met(word)));
    const near = rings(wordnet, synset, size).map(rankOf);
    const common = near.flatMap((ring) => ring.filter((word) => vocabulary.has(word) || met(word)));
    const all = common.filter((word) => !taken.has(word) && !own.includes(word));
    return { same: [...new Set([...own, ...names])], near: [...new Set(all)] };
  };
  return (name, others, turn) => {
    const noun = findNoun(wordnet, name, vocabulary);
    if (noun === undefined) return NONE;
    const synset = chooseSense(wordnet, noun, [name, ...others]);
    if (synset === undefined || size(synset.offset) > NAME_BELOW_MAX) return NONE;
    const words = found.get(synset.offset) ?? ofSynset(synset);
    found.set(synset.offset, words);
    const known = new Set([name, ...others].map((phrase) => phrase.toLowerCase()));
    // "tractor wheel" is a wheel: the plain noun comes first.
    const same = distinct([noun, ...words.same], Number.POSITIVE_INFINITY)
      .filter((word) => !known.has(word))
      .slice(0, SAME_MAX);
    known.add(noun);
    const pool = words.near.filter((word) => !known.has(word) && !same.includes(word));
    const start = NEAR_MAX * (turn % Math.max(1, Math.min(TURNS, Math.ceil(pool.length / NEAR_MAX))));
    // A last turn that is short begins again, so that all drawings get as many words.
    const near = [...pool.slice(start), ...pool.slice(0, start)].slice(0, NEAR_MAX);
    return { same, near };
  };
}

/** The name itself, or the last words of its head, as a lemma of index.noun. */
export function findNoun(
  wordnet: Wordnet,
  name: string,
  vocabulary: ReadonlySet<string>,
): string | undefined {
  const whole = name
    .toLowerCase()
    .replace(/[“”"!?.]/g, "")
    .trim();
  const head = whole
    .replace(/^.*\bplaying /, "")
    .split(HEAD_END)[0]!
    .trim();
  const parts = head.split(/\s+/);
  const phrases = [whole, ...parts.map((_, at) => parts.slice(at).join(" "))];
  for (const phrase of phrases) {
    const noun = singulars(phrase).find((form) => wordnet.senses.has(form));
    if (noun === undefined || noun.length < 3) continue;
    if (phrase === whole) return noun;
    const common = vocabulary.has(noun) || (wordnet.counts.lemma.get(noun) ?? 0) > 0;
    if (EMPTY_HEADS.has(noun) || !common) return undefined; // a "switch cisco" is no lake herring
    return noun;
  }
  return undefined;
}

/** Irregular plurals that name things one draws (the package has no noun.exc). */
const IRREGULAR: Readonly<Record<string, string>> = {
  children: "child",
  feet: "foot",
  geese: "goose",
  knives: "knife",
  leaves: "leaf",
  loaves: "loaf",
  men: "man",
  mice: "mouse",
  oxen: "ox",
  people: "person",
  scarves: "scarf",
  shelves: "shelf",
  teeth: "tooth",
  wolves: "wolf",
  women: "woman",
};

/** The phrase and what it may be the plural of, by its last word. */
function singulars(phrase: string): string[] {
  const at = phrase.lastIndexOf(" ") + 1;
  const [before, last] = [phrase.slice(0, at), phrase.slice(at)];
  const forms = [last];
  if (Object.hasOwn(IRREGULAR, last)) forms.push(IRREGULAR[last]!);
  if (last.endsWith("ies")) forms.push(`${last.slice(0, -3)}y`);
  if (/[^s]s$/.test(last)) forms.push(last.slice(0, -1));
  if (last.endsWith("es")) forms.push(last.slice(0, -2));
  return forms.map((form) => before + form);
}

/** The drawable sense whose gloss and broader terms share most words with the captions (Lesk); of equals the first. */
function chooseSense(wordnet: Wordnet, noun: string, captions: readonly string[]): Synset | undefined {
  const own = bag([noun]);
  const context = [...bag(captions)].filter((word) => !own.has(word));
  const { synsets, senses } = wordnet;
  const all = senses.get(noun)!.map((offset) => synsets.get(offset)!);
  const drawable = all.filter((synset) => DRAWABLE.has(synset.file));
  const written = drawable.filter((synset) => synset.lemmas.includes(noun)); // "crane", not Stephen Crane
  let best = { synset: written[0] ?? drawable[0], score: 0 };
  for (const synset of written) {
    const above = ancestors(wordnet, synset);
    const glosses = [synset, ...above.slice(0, 1)].map((s) => s.gloss);
    const words = bag([...glosses, ...synset.lemmas, ...above.flatMap((s) => s.lemmas)]);
    const score = context.filter((word) => words.has(word)).length;
    if (score > best.score) best = { synset, score };
  }
  return best.synset;
}

/** The telling words of texts, without a plural's s. */
function bag(texts: readonly string[]): Set<string> {
  const words = texts.flatMap((text) => text.toLowerCase().split(/[^\p{L}]+/u));
  const telling = words.filter((word) => word.length > 2 && !STOP.has(word));
  return new Set(telling.map((word) => (/[^s]s$/.test(word) ? word.slice(0, -1) : word)));
}

/** The hypernyms with at most so many meanings below. */
function broader(
  { synsets }: Wordnet,
  of: readonly Synset[],
  belowMax: number,
  size: (offset: string) => number,
): Synset[] {
  const above = of.flatMap((synset) => synset.above).filter((offset) => size(offset) <= belowMax);
  return above.map((offset) => synsets.get(offset)!);
}

/** Direct hyponyms and sister terms; then what is further down; then the relatives of each step up. */
function rings(wordnet: Wordnet, synset: Synset, size: (offset: string) => number): Synset[][] {
  const belowMax = KIND_BELOW_MAX[synset.file];
  if (belowMax === undefined) return [];
  const done = new Set([synset, ...ancestors(wordnet, synset)]);
  const ring = (list: Iterable<Synset>) => {
    const fresh = [...list].filter((one) => !done.has(one) && one.file === synset.file);
    for (const one of fresh) done.add(one);
    return fresh;
  };
  let level = [synset];
  const direct = [synset, ...broader(wordnet, level, belowMax, size)];
  const result = [ring(direct.flatMap((one) => one.below.map((o) => wordnet.synsets.get(o)!)))];
  for (let step = 0; step <= (STEPS[synset.file] ?? -1); step++) {
    result.push(ring(descendants(wordnet, level)));
    level = broader(wordnet, level, belowMax, size);
  }
  return result;
}

/** All hyponyms, the nearest first. */
const descendants = (wordnet: Wordnet, of: readonly Synset[]): Synset[] => reach(wordnet, of, "below");

/** All hypernyms, the nearest first. */
export const ancestors = (wordnet: Wordnet, of: Synset): Synset[] => reach(wordnet, [of], "above");

function reach({ synsets }: Wordnet, of: readonly Synset[], way: "above" | "below"): Synset[] {
  const found = new Set(of);
  for (const at of found) for (const next of at[way]) found.add(synsets.get(next)!);
  return [...found].slice(of.length);
}

/** Meanings and words not for a data set that children's pictures are part of. */
const ADULT_GLOSS =
  /\b(obscene|vulgar|slurs?|offensive|disparag\w*|derogat\w*|genital\w*|penis|vagina|sex(ual\w*)?|prostitut\w*|lewd|slang)\b/i;
const ADULT_WORDS =
  /\b(ass|arse|butt|bitch|bastard|boobs?|cock|coon|cripple|dick|dummy|dyke|erotic|fag|fool|gay|hooker|idiot|imp|killer|lesbian|lover|nude|prick|pussy|retard|silly|slave|terrorist|tit|tribade|whore)\b/;

/**
 * Lemmas people say, for which this is a usual meaning: lower case, no digits, at most two words. Usual is a third of
 * what was met of the word in all parts of speech, or its first noun; of a word of the vocabulary also the second.
 */
function commonLemmas(wordnet: Wordnet, vocabulary: ReadonlySet<string>, synset: Synset): string[] {
  const { synsets, senses, counts } = wordnet;
  if (ADULT_GLOSS.test(synset.gloss)) return [];
  return synset.lemmas.filter((lemma) => {
    if (!/^[a-z]{3,}([ -][a-z]{2,})?$/.test(lemma) || ADULT_WORDS.test(lemma)) return false;
    const nouns = (senses.get(lemma) ?? []).filter((o) => synsets.get(o)!.lemmas.includes(lemma));
    const place = nouns.indexOf(synset.offset);
    if (vocabulary.has(lemma) && place < 2) return true;
    const total = counts.lemma.get(lemma) ?? 0;
    return total < MET_FEW ? place === 0 : 3 * (counts.sense.get(`${lemma} ${synset.offset}`) ?? 0) >= total;
  });
}

/** The synsets' common lemmas: the vocabulary's first, then those mentioned more often, then the shorter. */
export function rank(
  wordnet: Wordnet,
  vocabulary: ReadonlySet<string>,
  mentions: ReadonlyMap<string, number>,
  synsets: readonly Synset[],
): string[] {
  const lemmas = new Set(synsets.flatMap((synset) => commonLemmas(wordnet, vocabulary, synset)));
  const keyed = [...lemmas].map((lemma) => {
    return { lemma, keys: [vocabulary.has(lemma) ? 1 : 0, mentions.get(lemma) ?? 0, -lemma.length] };
  });
  keyed.sort((a, b) => {
    const at = a.keys.findIndex((key, i) => key !== b.keys[i]);
    return at < 0 ? (a.lemma < b.lemma ? -1 : 1) : b.keys[at]! - a.keys[at]!;
  });
  return keyed.map(({ lemma }) => lemma);
}

/**
 * How often each noun is mentioned: in definitions and examples, and in the tagged texts. The tagged
 * texts alone are novels and news of the sixties, without a moose, a ferry or a coconut.
 */
export function countMentions({ synsets, senses, counts }: Wordnet): ReadonlyMap<string, number> {
  const mentions = new Map(counts.lemma);
  for (const { gloss } of synsets.values()) {
    const words = gloss.toLowerCase().match(/[a-z]+/g) ?? [];
    for (const [at, word] of words.entries()) {
      for (const phrase of [word, `${word} ${words[at + 1] ?? ""}`]) {
        const noun = singulars(phrase).find((form) => senses.has(form));
        if (noun !== undefined) mentions.set(noun, (mentions.get(noun) ?? 0) + 1);
      }
    }
  }
  return mentions;
}

/** How many synsets are below each, those with two ways up counted twice. */
export function countBelow(wordnet: Wordnet): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const open = new Set<string>();
  for (const root of wordnet.synsets.keys()) {
    const stack = [root];
    while (stack.length > 0) {
      const offset = stack.at(-1)!;
      const { below } = wordnet.synsets.get(offset)!;
      const wait = open.has(offset) ? [] : below.filter((o) => !counts.has(o) && !open.has(o));
      open.add(offset);
      if (wait.length > 0 && !counts.has(offset)) stack.push(...wait);
      else {
        stack.pop();
        counts.set(
          offset,
          below.reduce((sum, o) => sum + 1 + (counts.get(o) ?? 0), 0),
        );
      }
    }
  }
  return counts;
}
