import { expect, it } from "vitest";
import { WordCutter } from "./word-cutter.ts";

it("cuts before spaces, but not where a piece has something and a space", () => {
  const words = (pieces: string[], text: string) => [...new WordCutter(pieces).words(text)];
  expect(words(["▁a", "▁▁"], "▁a▁▁b▁")).toEqual(["▁a", "▁▁b", "▁"]);
  expect(words(["\n▁"], "a\n▁b▁c\n▁▁")).toEqual(["a\n▁b", "▁c\n▁▁"]);
  expect(words(["x\n▁▁a"], "x\n▁a▁\n▁")).toEqual(["x\n▁a", "▁\n▁"]);
  expect(words([], "")).toEqual([]);
});
