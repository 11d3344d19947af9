import fc from "fast-check";
import { expect, it } from "vitest";
import { preTokenizer } from "./pre-tokens.ts";

function cut(text: string, maxLength = 16): string[] {
  const out: string[] = [];
  preTokenizer(maxLength)(text, (t) => out.push(t));
  return out;
}

it.each([
  ["words with the space before them", "two cats", ["▁two", "▁cats"]],
  ["each space but the last alone", " a  b ", ["▁", "▁a", "▁", "▁b", "▁"]],
  ["digits one by one", "a12 3", ["▁a", "1", "2", "▁", "3"]],
  ["punctuation apart from words", "dog's (old)", ["▁dog", "'", "s", "▁(", "old", ")"]],
  ["Chinese and Japanese apart from letters", "T恤 ソファーの上", ["▁T", "恤", "▁ソファーの上"]],
  ["marks with their letter", "हिन्दी e\u0301", ["▁हिन्दी", "▁e\u0301"]],
  ["a joined emoji whole", "👩\u200d👧 1\ufe0f\u20e3", ["▁👩\u200d👧", "▁", "1", "\ufe0f\u20e3"]],
  ["nothing of nothing", "", []],
])("keeps %s", (_, text, expected) => {
  expect(cut(text)).toEqual(expected);
});

it("loses nothing and keeps to the length", () => {
  const text = fc.string({
    unit: fc.oneof(fc.constantFrom(..."ab12 猫।\u0301"), fc.string({ unit: "binary", maxLength: 1 })),
  });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 5 }), (t, maxLength) => {
      const parts = cut(t, maxLength);
      expect(parts.join("")).toBe(t === "" ? "" : `▁${t.replaceAll(" ", "▁")}`);
      for (const part of parts) expect(Array.from(part).length).toBeLessThanOrEqual(maxLength);
    }),
  );
});
