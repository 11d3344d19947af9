import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import { StopStrings } from "./stop-strings.ts";

/** The text before the first stop string and that string, read off the whole text. */
function reference(text: string, stops: readonly string[]): { text: string; stop: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length);
    if (ending[0] !== undefined) return { text: text.slice(0, end - ending[0].length), stop: ending[0] };
  }
  return { text, stop: undefined };
}

function feed(
  chunks: readonly string[],
  stops: readonly string[],
): { text: string; stop: string | undefined } {
  const finder = new StopStrings(stops);
  let text = "";
  for (const chunk of chunks) {
    const settled = finder.push(chunk);
    text += settled.text;
    if (settled.stop !== undefined) return { text, stop: settled.stop };
  }
  return { text: text + finder.end(), stop: undefined };
}

describe("StopStrings", () => {
  it("finds the first at any chunking of any text", () => {
    const letters = fc.constantFrom(..."ab|");
    const word = (maxLength: number) => fc.string({ unit: letters, minLength: 1, maxLength });
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: letters, maxLength: 5 })),
        fc.array(word(5), { maxLength: 4 }),
        (chunks, stops) => {
          expect(feed(chunks, stops)).toEqual(reference(chunks.join(""), stops));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("holds back only what may still become one", () => {
    const finder = new StopStrings(["<|im_end|>", "###"]);
    expect(finder.push("Hi <")).toEqual({ text: "Hi ", stop: undefined });
    expect(finder.push("b>")).toEqual({ text: "<b>", stop: undefined });
    expect(finder.push("##")).toEqual({ text: "", stop: undefined });
    expect(finder.push("<|im_")).toEqual({ text: "##", stop: undefined });
    expect(finder.push("end|>more")).toEqual({ text: "", stop: "<|im_end|>" });
    expect(finder.end()).toBe("");
  });

  it("gives the rest out at the end, and lets everything through when there is none", () => {
    const finder = new StopStrings(["</s>"]);
    expect(finder.push("a</")).toEqual({ text: "a", stop: undefined });
    expect(finder.end()).toBe("</");
    expect(new StopStrings([]).push("a</s>")).toEqual({ text: "a</s>", stop: undefined });
  });

  it("refuses an empty string, and text after the stop", () => {
    expect(() => new StopStrings(["a", ""])).toThrow(UsageError);
    const finder = new StopStrings(["."]);
    finder.push("a.");
    expect(() => finder.push("b")).toThrow("the text has ended at a stop string");
  });
});
