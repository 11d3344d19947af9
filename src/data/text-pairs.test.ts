import { expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { drawTextPairs, parseTextPairs } from "./text-pairs.ts";

const line = (...texts: unknown[]) => JSON.stringify({ texts });

test("reads lists of texts, without empty lines", async () => {
  const lists = await parseTextPairs([line("carrot", " root "), "", line("a", "b", "c")], "pairs.jsonl");
  expect(lists).toEqual([
    ["carrot", "root"],
    ["a", "b", "c"],
  ]);
});

test("names every wrong line and what is wrong with it, in one error", async () => {
  const lines = [
    line("fine", "good"),
    "{ no",
    line("alone"),
    line("a", ""),
    line("a", 3),
    '{"text":["a","b"]}',
  ];
  const error = await parseTextPairs(lines, "pairs.jsonl").catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  const { message } = error as Error;
  expect(message).toMatch(/^pairs\.jsonl: expected lines such as \{ "texts": /);
  expect(message).toMatch(/line 2: expected JSON/);
  for (const number of [3, 4, 5, 6]) expect(message).toContain(`line ${number}: text`);
  expect(message).not.toContain("line 1:");
});

test("stops at the twentieth wrong line, and refuses a file without lines", async () => {
  const many = Array.from({ length: 100 }, () => "x");
  await expect(parseTextPairs(many, "p")).rejects.toThrow(/line 20: (?!.*line 21)/s);
  await expect(parseTextPairs(["", " "], "p")).rejects.toThrow("p: expected at least one line of texts");
});

test("draws different lists: their names, then another text of each", () => {
  const lists = Array.from({ length: 9 }, (_, i) => [`${i}`, `${i}a`, `${i}b`] as const);
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const texts = drawTextPairs(lists, 4, new Rng(seed));
    expect(texts).toHaveLength(8);
    const names = texts.slice(0, 4);
    expect(new Set(names).size).toBe(4);
    names.forEach((name, i) => {
      expect(texts[4 + i]).toMatch(new RegExp(`^${name}[ab]$`));
    });
    for (const text of texts) seen.add(text);
  }
  expect(seen.size).toBe(27);
  expect(new Set(drawTextPairs(lists, 9, new Rng(0)).slice(0, 9)).size).toBe(9);
});

test("no two pairs of a batch share a text, unless there is nothing else", () => {
  const lists = ["deer|animal", "cow|animal", "animal|beast", "cow|Kuh", "tree|Baum", "car|Auto"].map(
    (line) => line.split("|") as [string, string],
  );
  for (let seed = 0; seed < 60; seed++) {
    const texts = drawTextPairs(lists, 3, new Rng(seed));
    expect(new Set(texts).size).toBe(6);
  }
  expect(new Set(drawTextPairs(lists, 6, new Rng(0))).size).toBe(9);
});
