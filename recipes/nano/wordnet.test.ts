import { expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { addWords, type ManifestLine } from "./manifest.ts";
import { findNoun, neighbourFinder } from "./neighbours.ts";
import { makeTextPairs } from "./text-pairs.ts";
import { parseWordnet } from "./wordnet.ts";

/** Offset, file, lemmas, hypernyms, hyponyms, gloss. */
type Entry = readonly [string, string, readonly string[], readonly string[], readonly string[], string];

const KINDS = [..."abcdefgh"].map((letter, at): Entry => {
  return [`0000010${at}`, "13", [`bing${letter}`], ["00000010"], [], "a sort"];
});
const ENTRIES: readonly Entry[] = [
  ["00000001", "05", ["animal"], [], ["00000002"], "a living thing that moves"],
  ["00000002", "05", ["ruminant"], ["00000001"], ["00000003", "00000004"], "an animal that chews; deer, elk, cow"],
  ["00000003", "05", ["deer", "cervid"], ["00000002"], ["00000005", "00000006", "00000011"], "a moose or elk, or elk; moose; fawn"],
  ["00000004", "05", ["cow", "moo-cow"], ["00000002"], [], "an animal with milk; an elk, moose, fawn; the deer"],
  ["00000005", "05", ["elk", "moose", "Alces_alces"], ["00000003"], [], "a large deer; moose, fawn, cow, cow"],
  ["00000006", "05", ["fawn", "bastard"], ["00000003"], [], "a young deer"],
  ["00000012", "07", ["crane"], [], ["00000013"], "the quality of the long bird, animal"],
  ["00000013", "07", ["craneness"], ["00000012"], [], "a quality"],
  ["00000007", "06", ["crane"], [], [], "a machine that lifts and moves heavy objects"],
  ["00000008", "05", ["crane"], ["00000001"], [], "a large long-necked bird"],
  ["00000009", "18", ["Crane", "Stephen_Crane"], [], [], "a writer of the bird"],
  ["00000010", "13", ["cherry"], [], KINDS.map(([offset]) => offset), "a red fruit"],
  ...KINDS,
  ["00000011", "05", ["wumpus"], ["00000003"], [], "no one speaks of it"],
]; // biome-ignore format: a table

const LICENCE = "  1 This software and database is being provided to you\n";
const number = (n: number, digits: number, base = 10) => n.toString(base).padStart(digits, "0");

const data = ENTRIES.map(([offset, file, lemmas, above, below, gloss]) => {
  const words = lemmas.map((lemma) => `${lemma} 0`).join(" ");
  const pointers = [...above.map((o) => ` @ ${o} n 0000`), ...below.map((o) => ` ~ ${o} n 0000`)];
  return `${offset} ${file} n ${number(lemmas.length, 2, 16)} ${words} ${number(pointers.length, 3)}${pointers.join("")} | ${gloss}  \n`;
}).join("");

const offsets = new Map<string, string[]>();
for (const [offset, , lemmas] of [ENTRIES[8]!, ...ENTRIES.filter((_, at) => at !== 8)]) {
  for (const lemma of lemmas.map((l) => l.toLowerCase())) {
    offsets.set(lemma, [...(offsets.get(lemma) ?? []), offset]);
  }
}
const index = [...offsets].map(([lemma, list]) => {
  return `${lemma} n ${list.length} 2 @ ~ ${list.length} 0 ${list.join(" ")}  \n`;
});
const sense = [...offsets].flatMap(([lemma, list]) => {
  return list.map((offset, at) => `${lemma}%1:05:00:: ${offset} ${at + 1} 0\n`);
});
const texts = { data: LICENCE + data, index: LICENCE + index.join(""), sense: sense.join("") };
const wordnet = parseWordnet(texts);
const none: ReadonlySet<string> = new Set();

it("reads synsets, senses and counts", () => {
  expect(wordnet.synsets.size).toBe(ENTRIES.length);
  expect(wordnet.senses.get("alces alces")).toEqual(["00000005"]);
  expect(wordnet.synsets.get("00000003")).toMatchObject({
    lemmas: ["deer", "cervid"],
    above: ["00000002"],
    below: ["00000005", "00000006", "00000011"],
    gloss: "a moose or elk, or elk; moose; fawn",
  });
  const counted = parseWordnet({
    ...texts,
    sense: "deer%1:05:00:: 00000003 1 2\ndeer%2:05:00:: 00000099 1 5\n",
  });
  expect(counted.counts.sense.get("deer 00000003")).toBe(2);
  expect(counted.counts.lemma.get("deer")).toBe(7);
});

it("names the file and line of everything that is wrong", () => {
  const broken = {
    data: texts.data.replace("00000010 13 n 01", "00000010 13 n 02").replace("~ 00000006 n", "~ 00000096 n"),
    index: `${texts.index}moose n 2 1 @ 1 0 00000005\n`,
    sense: `${"x".repeat(70_000)}\nmoose 1 1\n`,
  };
  const attempt = () => parseWordnet(broken);
  expect(attempt).toThrow(ConfigError);
  expect(attempt).toThrow(/data\.noun, line 13: expected offset/);
  expect(attempt).toThrow(/index\.noun, line \d+: expected offsets that data\.noun has \(00000010/);
  expect(attempt).toThrow(/index\.noun, line \d+: expected lemma, n,/);
  expect(attempt).toThrow(/index\.sense, line 1: expected at most 64000 characters/);
  expect(attempt).toThrow(/index\.sense, line 2: expected a sense key/);
  expect(attempt).toThrow(/synset 00000003 points to 00000096/);
});

it("finds the head noun, singular, and none for what names no thing", () => {
  const find = (name: string) => findNoun(wordnet, name, new Set(["deer", "cherry", "cow"]));
  expect(find("Alces alces")).toBe("alces alces");
  expect(find("cherries")).toBe("cherry");
  expect(find("red cherries")).toBe("cherry");
  expect(find("cow with cherry")).toBe("cow");
  expect(find("man feeding deer")).toBeUndefined();
  expect(find("woman playing deer")).toBe("deer");
  expect(find("switch elk")).toBeUndefined(); // no common word at the end of a longer name
  expect(find("keycap: #")).toBeUndefined();
});

it("gives true names, and near ones that have no picture of their own", () => {
  const find = neighbourFinder(wordnet, none, new Set(["cow"]));
  expect(find("deer", [], 0)).toEqual({ same: ["cervid"], near: ["elk", "moose", "fawn"] });
  expect(find("deer", ["fawn"], 0).near).toEqual(["elk", "moose"]);
  expect(find("moose", [], 0)).toEqual({ same: ["elk", "deer"], near: ["fawn"] });
  expect(neighbourFinder(wordnet, new Set(["fawn", "wumpus"]), none)("deer", [], 0).near).toEqual([
    "fawn",
    "wumpus",
    "elk",
    "moose",
    "cow",
  ]);
  expect(find("zebra", [], 0)).toEqual({ same: [], near: [] });
  // A longer name's plain noun is the first of its true names.
  expect(find("red deer", [], 0).same).toEqual([]);
  expect(neighbourFinder(wordnet, new Set(["deer"]), none)("red deer", [], 0).same).toEqual([
    "deer",
    "cervid",
  ]);
});

it("gives every drawing of a thing other near words, six each", () => {
  const find = neighbourFinder(wordnet, new Set(KINDS.map(([, , lemmas]) => lemmas[0]!)), none);
  const turn = (n: number) =>
    find("cherries", [], n)
      .near.map((word) => word.at(-1))
      .join("");
  expect([0, 1, 2].map(turn)).toEqual(["abcdef", "ghabcd", "abcdef"]);
});

it("chooses the sense that the other captions speak of, else the first, of what can be drawn", () => {
  const find = neighbourFinder(wordnet, new Set(["animal"]), none);
  expect(find("crane", ["bird", "crane, bird, animal"], 0).same).toEqual(["animal"]);
  expect(find("crane", ["long bird"], 0).near).toContain("elk");
  expect(find("crane", [], 0)).toEqual({ same: [], near: [] });
});

it("adds words to training lines alone, and keeps what is there", () => {
  const line = (group: string, en: string[], split: ManifestLine["split"]): ManifestLine => {
    return { image: "a.webp", captions: { de: ["x"], en }, group, split, source: "noto", licence: "MIT" };
  };
  const lines = [
    line("emoji:1", ["deer", "deer, forest"], "train"),
    line("emoji:2", ["cow", "farm"], "train"),
    line("emoji:3", ["moose"], "heldout-concepts"),
    line("emoji:1", ["deer"], "heldout-drawings"),
    line("flag:DE", ["deer"], "train"),
    { ...line("emoji:4", [], "train"), captions: { de: ["Hirsch"] } },
  ];
  const added = addWords(lines, wordnet);
  expect(added[0]!.captions).toEqual({
    de: ["x"],
    en: ["deer", "deer, forest", "cervid", "elk", "moose", "fawn"],
  });
  expect(added[1]!.captions.en!.slice(0, 2)).toEqual(["cow", "farm"]);
  expect(added[4]!.captions.en).toEqual(["deer", "flag"]);
  const untouched = [2, 3, 5];
  expect(untouched.map((at) => added[at])).toEqual(untouched.map((at) => lines[at]));
  expect(addWords(lines, wordnet)).toEqual(added);
});

it("makes text pairs of common names: what they mean, and what they are called elsewhere", () => {
  const german = new Map([
    ["deer", ["Hirsch", "Reh"]],
    ["cervid", ["Hirsch"]],
    ["crane", ["Kran"]],
    ["wumpus", ["Wumpus"]],
  ]);
  const french = new Map([["deer", ["cerf"]]]);
  const lists = makeTextPairs(wordnet, [german, french]).map(({ texts }) => texts);
  expect(lists).toContainEqual(["deer", "animal", "a moose or elk, or elk"]);
  expect(lists).toContainEqual(["deer", "Hirsch", "Reh", "cerf"]);
  expect(lists).toContainEqual(["elk", "moose", "deer", "animal", "a large deer"]);
  const names = lists.map(([name]) => name);
  expect(names).not.toContain("wumpus"); // no one speaks of it
  expect(names).not.toContain("craneness"); // nobody can see it
  expect(lists.flat()).not.toContain("bastard");
});
