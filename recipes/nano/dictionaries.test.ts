import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { parseDictionary, readDictionaries, translations } from "./dictionaries.ts";
import type { SourceKey } from "./sources.ts";

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const digits = (n: number): string => (n < 64 ? "" : digits(Math.floor(n / 64))) + DIGITS[n % 64]!;

/** Index and text of a dictionary with these entries, as dictfmt writes them. */
function dictionary(entries: readonly string[]) {
  let at = 0;
  const index = entries.map((entry) => {
    const size = Buffer.byteLength(entry);
    const line = `${entry.split(" /")[0]!}\t${digits(at)}\t${digits(size)}\n`;
    at += size;
    return line;
  });
  return { index: index.join(""), text: Buffer.from(entries.join("")) };
}

const { index, text } = dictionary([
  'crane /kɹˈeɪn/\nKran <masc>\n      "single girder crane"  - Deckenkran\n see: {cranes}\n\n',
  "Crane /kɹˈeɪn/\nKranich <masc> [astron.]\n         Note: Sternbild\n",
  "computed axial tomography /x/ (CAT /y/)\nSchichtröntgen <neut>\n",
  "dog /dˈɒɡ/\nBandhaken <masc>, Bandzieher <masc>\n",
  'dog /dˈɒɡ/\nHund <masc> [zool.]\n      "dogs with an instinct"  - Hunde\n',
  "carry /x/ <vt>\ntragen\n",
]);

it("reads headwords and their first translations", () => {
  const words = parseDictionary(`00-database-short\tA\tB\n${index}`, text, "eng-deu");
  expect(words.get("crane")).toEqual(["Kran", "Kranich"]);
  expect(words.get("carry")).toEqual([]);
  expect(words.get("dog")).toEqual(["Hund", "Bandhaken"]); // the entry with examples first
  expect(parseDictionary(index.replace("computed axial tomography", "CAT"), text, "d").has("cat")).toBe(
    false,
  );
});

it.each([
  ["pigeon /pidʒən/\n1. colombe, pigeon\n2. autre\n", ["colombe", "autre"]],
  ["carrot //ˈkæɹ.ət// <n>\nニンジン, 人参\nDaucus carota ssp. sativus\n", ["ニンジン"]],
  ["carrot /ˈkærət/ <N>\n 1.  marchewka\n 2.  [nieform]  zachęta\n", ["marchewka", "zachęta"]],
  ["kidney /x/ (K /k/)\n [Br.] Niere <fem> (auch: Nieren) [anat.]\n", ["Niere"]],
  ["kill /x/\nI.  <V>  porywać\nII.  <N>  porwanie\n", []],
  ["horse /x/\nI.  <N>  koń\nII.  <N Comp>horse racing /x/   wyścigi konne\n", ["koń"]],
  ["cat /kæt/\n1. mégère, peau de vache, rosse\n2. chat\n3. trois\n", ["mégère", "chat"]],
  ["wedge /x/\neen wig slaan, wig\n", ["wig"]],
  ["boom /x/\nboom‐, -té, master…, giek\n", ["giek"]],
  ["tree\n", []],
  ["", []],
])("takes the names of the first sense out of %j", (entry, names) => {
  expect(translations(entry)).toEqual(names);
});

it("names the file and line of an index that does not fit its text", () => {
  for (const line of ["crane", "crane\tA", "crane\tA\t*", "crane\tA\tzzzz"])
    expect(() => parseDictionary(`ok\tA\tB\n${line}\n`, text, "eng-deu")).toThrow(
      /eng-deu\.index, line 2: expected a word and its place/,
    );
  expect(() => parseDictionary("crane", text, "d")).toThrow(ConfigError);
});

const dir = await mkdtemp(join(tmpdir(), "dictionaries-"));
afterAll(() => rm(dir, { recursive: true }));

it("reads the dictionaries among the sources, compressed as the packages have them", async () => {
  await mkdir(join(dir, "usr/share/dictd"), { recursive: true });
  await writeFile(join(dir, "usr/share/dictd/freedict-eng-deu.index"), index);
  await writeFile(join(dir, "usr/share/dictd/freedict-eng-deu.dict.dz"), gzipSync(text));
  const dirs = new Map<SourceKey, string>([
    ["noto", "/nowhere"],
    ["freedict-deu", dir],
  ]);
  const [german, ...more] = await readDictionaries(dirs);
  expect(german!.get("crane")).toEqual(["Kran", "Kranich"]);
  expect(more).toEqual([]);
});
