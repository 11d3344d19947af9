import { expect, it } from "vitest";
import { cleanCaption } from "./clean-caption.ts";

// Expected values worked out by hand from the published procedure.
it.each([
  ["lower case and marks", 'A "Big" Dog! (brown): it runs...', "a big dog brown it runs"],
  ["marks that stay", "it's a half-time, 50% off?", "it's a half-time, 50% off?"],
  ["every mark", '.!"()*#:;~x.!"()*#:;~', "x"],
  ["runs of any whitespace", "a \n\t b", "a b"],
  ["a single tab or newline inside", "a\tb\nc", "a\tb\nc"],
  ["whitespace at the ends", "\n a b \n", "a b"],
  ["Python's whitespace", "a\x1c\x85b\ufeff\ufeffc", "a b\ufeff\ufeffc"],
  ["Chinese with full-width marks", "一只猫。坐在《沙发》上!", "一只猫。坐在《沙发》上"],
  ["capitals beyond ASCII", "ÜBER Σ", "über σ"],
  ["nothing", "", ""],
])("cleans %s", (_, caption, expected) => {
  expect(cleanCaption(caption)).toBe(expected);
});

it("keeps the first fifty words", () => {
  const words = Array.from({ length: 60 }, (_, i) => `w${i}`);
  expect(cleanCaption(words.join("  "))).toBe(words.slice(0, 50).join(" "));
});
