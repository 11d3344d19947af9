import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AddedToken, AddedTokenFinder } from "./added-tokens.ts";

const token = (content: string, id: number, flags: Partial<AddedToken> = {}): AddedToken => ({
  ...{ content, id, special: true, lstrip: false, rstrip: false, singleWord: false, normalized: false },
  ...flags,
});
/** Ids of tokens, and the texts between them. */
const split = (
  finder: AddedTokenFinder,
  text: string,
  literal: readonly (readonly [number, number])[] = [],
) =>
  finder.split(text, literal).map((p) => (p.token === undefined ? text.slice(p.start, p.end) : p.token.id));

describe("AddedTokenFinder", () => {
  it("finds the leftmost, then the longest", () => {
    const finder = new AddedTokenFinder([token("<a>", 1), token("<a>b", 2), token("a>bc", 3)]);
    expect(split(finder, "x<a>bc<a><a>")).toEqual(["x", 2, "c", 1, 1]);
    expect(split(finder, "<a")).toEqual(["<a"]);
    expect(split(finder, "")).toEqual([]);
  });

  it("gives whitespace to tokens that take it, once", () => {
    const finder = new AddedTokenFinder([
      token("<l>", 1, { lstrip: true }),
      token("<r>", 2, { rstrip: true }),
    ]);
    expect(split(finder, " a \u3000<l> b <r>\n\u0085 c")).toEqual([" a", 1, " b ", 2, "c"]);
    expect(split(finder, "<r>  <l>")).toEqual([2, 1]);
    // U+FEFF is whitespace for JavaScript's trim, and for nobody else.
    expect(split(finder, "<r>\ufeff")).toEqual([2, "\ufeff"]);
  });

  it("takes single words only where they are single", () => {
    const finder = new AddedTokenFinder([token("at", 1, { singleWord: true })]);
    expect(split(finder, "cat")).toEqual(["cat"]);
    expect(split(finder, "at cat at_ 猫at at, at")).toEqual([1, " cat at_ 猫at ", 1, ", ", 1]);
  });

  it("recognises nothing that touches a literal range", () => {
    const finder = new AddedTokenFinder([token("<a>", 1), token("<a><a>", 2)]);
    const text = "<a><a>x<a>";
    expect(split(finder, text)).toEqual([2, "x", 1]);
    expect(split(finder, text, [[0, text.length]])).toEqual([text]);
    expect(split(finder, text, [[4, 5]])).toEqual([1, "<a>x", 1]);
    const two = [
      [1, 2],
      [9, 10],
    ] as const;
    expect(split(finder, text, two)).toEqual(["<a>", 1, "x<a>"]);
    expect(split(finder, text, [[3, 3]])).toEqual([2, "x", 1]);
  });

  it("searches in time that does not depend on how many tokens begin alike", () => {
    const many = new AddedTokenFinder(Array.from({ length: 5000 }, (_, i) => token(`<|reserved_${i}|>`, i)));
    const text = "<|reserved_".repeat(20_000);
    expect(split(many, text)).toEqual([text]);
  });

  it("loses nothing, and agrees with a regular expression of alternatives", () => {
    const contents = ["<a>", "<a>b", "b<", "<", "abab"];
    const finder = new AddedTokenFinder(contents.map((c, i) => token(c, i)));
    const pattern = new RegExp(`(${[...contents].sort((a, b) => b.length - a.length).join("|")})`);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."<a>b ") }), (text) => {
        const expected = text
          .split(pattern)
          .map((p, i) => (i % 2 ? contents.indexOf(p) : p))
          .filter((p) => p !== "");
        expect(split(finder, text)).toEqual(expected);
      }),
    );
  });
});
