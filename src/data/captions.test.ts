import { expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { captionTables, drawCaption, hasCaption, languageShares } from "./captions.ts";
import type { ManifestItem } from "./manifest.ts";

const item = (captions: Record<string, string[]>): ManifestItem => ({
  image: "a.png",
  path: "/a.png",
  captions,
  split: "train",
  weight: 1,
});

function shares(captions: Record<string, string[]>, table?: Record<string, number>): Record<string, number> {
  const counts: Record<string, number> = {};
  const draws = 4000;
  const rng = new Rng("captions");
  for (let i = 0; i < draws; i++) {
    const text = drawCaption(item(captions), table, rng.fork(i));
    counts[text] = (counts[text] ?? 0) + 1 / draws;
  }
  return counts;
}

test("languages by weight, texts of a language alike", () => {
  const found = shares({ en: ["cat", "kitten"], de: ["Katze"], fr: ["chat"] }, { en: 0.6, "*": 0.2 });
  expect(found.cat).toBeCloseTo(0.3, 1);
  expect(found.kitten).toBeCloseTo(0.3, 1);
  expect(found.Katze).toBeCloseTo(0.2, 1);
  expect(found.chat).toBeCloseTo(0.2, 1);
});

test("no table: every language alike", () => {
  const found = shares({ en: ["cat"], de: ["Katze"] });
  expect(found.cat).toBeCloseTo(0.5, 1);
});

test("a language without weight is never drawn", () => {
  expect(shares({ en: ["cat"], de: ["Katze"] }, { en: 1 })).toEqual({ cat: expect.closeTo(1) });
  expect(shares({ en: ["cat"], de: ["Katze"] }, { "*": 1, de: 0 })).toEqual({ cat: expect.closeTo(1) });
});

test("no table or one table is one caption, a list of tables one caption each", () => {
  expect(captionTables(undefined)).toEqual([undefined]);
  expect(captionTables({ en: 1 })).toEqual([{ en: 1 }]);
  expect(captionTables([{ en: 1 }, { de: 1 }])).toEqual([{ en: 1 }, { de: 1 }]);
});

test("each table gives one caption, however large its weights are", () => {
  const shares = (tables: Parameters<typeof languageShares>[1]) =>
    Object.fromEntries(languageShares(["en", "de", "fr"], tables));
  expect(shares(undefined)).toEqual({ en: 1 / 3, de: 1 / 3, fr: 1 / 3 });
  expect(shares({ en: 3, "*": 0.5 })).toEqual({ en: 0.75, de: 0.125, fr: 0.125 });
  expect(shares([{ en: 1 }, { de: 1000 }])).toEqual({ en: 1, de: 1, fr: 0 });
  expect(shares([{ ja: 1 }])).toEqual({ en: 0, de: 0, fr: 0 });
});

test("says whether anything can be drawn", () => {
  expect(hasCaption(item({ de: ["Katze"] }), { en: 1 })).toBe(false);
  expect(hasCaption(item({ de: ["Katze"] }), { en: 1, "*": 0.1 })).toBe(true);
  // A language named like a method must not find the method.
  expect(hasCaption(item({ constructor: ["x"] }), { en: 1 })).toBe(false);
});
