import { describe, expect, test } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { parseAnnotation } from "../../src/data/conversations.ts";
import { colourOf, coloursOf } from "./colours.ts";
import { listed, type PictureFacts, pictureRow, textRow, withArticle } from "./conversations.ts";

test.each([
  ["red", [220, 30, 30]],
  ["orange", [250, 150, 30]],
  ["yellow", [250, 220, 40]],
  ["green", [40, 160, 60]],
  ["blue", [40, 90, 220]],
  ["purple", [130, 60, 190]],
  ["pink", [250, 150, 200]],
  ["brown", [120, 70, 30]],
  ["black", [20, 20, 25]],
  ["grey", [130, 130, 135]],
  ["white", [250, 250, 248]],
] as const)("%s is called so", (colour, [r, g, b]) => {
  expect(colourOf(r, g, b)).toBe(colour);
});

/** A picture of rows of letters. */
function painted(...rows: string[]) {
  const paint: Record<string, number[]> = { ".": [255, 255, 255], R: [220, 30, 30], B: [40, 90, 220] };
  const data = Uint8Array.from(rows.join(""), () => 0);
  const pixels = [...rows.join("")].flatMap((letter) => paint[letter]!);
  return {
    width: rows[0]!.length,
    height: rows.length,
    data: Uint8Array.from(pixels.length ? pixels : data),
  };
}

describe("the colours of a picture", () => {
  test("are those of what is drawn, the largest first; paper around it does not count", () => {
    const { seen, unseen } = coloursOf(painted("......", ".RRRR.", ".RRBB.", "......"));
    expect(seen).toEqual(["red", "blue"]);
    expect(unseen).toContain("white");
    expect(unseen).not.toContain("red");
  });

  test("white inside counts, and an empty sheet is white", () => {
    expect(coloursOf(painted("RRRR", "R..R", "RRRR")).seen).toEqual(["red", "white"]);
    expect(coloursOf(painted("...", "...")).seen).toEqual(["white"]);
  });
});

test("names in a sentence, and lists", () => {
  expect(["lion", "umbrella", "unicorn", "glasses", "bus", "flag of Mali", "Libra"].map(withArticle)).toEqual(
    [...["a lion", "an umbrella", "a unicorn", "glasses", "a bus", "the flag of Mali", "Libra"]],
  );
  expect(listed(["red", "white", "blue"])).toBe("red, white and blue");
});

const fact = (name: string): PictureFacts => ({
  image: `images/${name}.webp`,
  name,
  words: new Set([name]),
  colours: { seen: ["red"], unseen: ["blue"] },
});
const ALL = ["lion", "apple", "car", "house"].map(fact);

test("rows are what training reads, answers are true, and yes is as frequent as no", async () => {
  const rng = new Rng("rows");
  const rows = Array.from({ length: 400 }, (_, i) => pictureRow(ALL[i % 4]!, ALL, rng.fork(i)));
  const lines = [...rows, textRow(rng.fork("text"))].map((row) => JSON.stringify(row));
  let read = 0;
  for await (const _ of parseAnnotation(lines, { name: "rows", resolve: (p) => p })) read++;
  expect(read).toBe(401);
  const counts = { yes: 0, no: 0 };
  for (const [i, { conversations }] of rows.entries())
    for (let t = 0; t < conversations.length; t += 2) {
      const [question, answer] = [conversations[t]!.value, conversations[t + 1]!.value];
      if (answer !== "yes" && answer !== "no") continue;
      counts[answer]++;
      const isTrue = question.includes("Is there")
        ? question.includes("red")
        : question.includes(withArticle(ALL[i % 4]!.name));
      expect(answer).toBe(isTrue ? "yes" : "no");
    }
  expect(counts.yes / (counts.yes + counts.no)).toBeGreaterThan(0.4);
  expect(counts.yes / (counts.yes + counts.no)).toBeLessThan(0.6);
});
