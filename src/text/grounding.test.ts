import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import {
  DETECT_PROMPT,
  firstBox,
  formatBoxes,
  type GroundedPart,
  parseGrounding,
  referPrompt,
} from "./grounding.ts";

const SIZE = { width: 2000, height: 500 };
const said = (text: string): GroundedPart => ({ type: "text", text });
const boxes = (label: string, ...rows: number[][]): GroundedPart => ({
  type: "boxes",
  label,
  boxes: rows.map(([x1, y1, x2, y2]) => ({ x1: x1!, y1: y1!, x2: x2!, y2: y2! })),
});

it("asks as published", () => {
  expect(referPrompt("the cat")).toBe(
    "Please provide the bounding box coordinate of the region this sentence describes: <ref>the cat</ref>",
  );
  expect(DETECT_PROMPT).toBe(
    "Please detect and label all objects in the following image and mark their positions.",
  );
  expect(() => referPrompt("a</ref>")).toThrow(UsageError);
});

describe("parseGrounding", () => {
  it.each<[string, GroundedPart[]]>([
    ["<ref>cat</ref><box>[[100, 200, 300, 400]]</box>", [boxes("cat", [200, 100, 600, 200])]],
    [
      "I see <ref> two cats </ref> <box> [[0, 0, 500, 500], [500,500,1000,1000]] </box>.",
      [said("I see "), boxes("two cats", [0, 0, 1000, 250], [1000, 250, 2000, 500]), said(".")],
    ],
    [
      "<ref>a</ref><box>[[1,2,3,4]]</box>\n<ref>b</ref><box>[[5,6,7,8]]</box>",
      [boxes("a", [2, 1, 6, 2]), said("\n"), boxes("b", [10, 3, 14, 4])],
    ],
    ["<box>[[1, 2, 3, 4]]</box>", [boxes("", [2, 1, 6, 2])]],
    ["<box>[1, 2, 3, 4]</box>", [boxes("", [2, 1, 6, 2])]],
    ["<box>[[-5, 2, 1003, 4000]]</box>", [boxes("", [0, 1, 2000, 500])]],
    ["<box>[[3, 4, 1, 2]]</box>", [boxes("", [2, 1, 6, 2])]],
    ["<box>[[0.5, 2, 3, 4]]</box>", [boxes("", [1, 1, 6, 2])]],
    [
      "<ref>roof</ref><quad>[[0, 0, 500, 0, 500, 1000]]</quad>",
      [
        {
          type: "polygons",
          label: "roof",
          polygons: [
            [
              { x: 0, y: 0 },
              { x: 1000, y: 0 },
              { x: 1000, y: 500 },
            ],
          ],
        },
      ],
    ],
    ["nothing", [said("nothing")]],
    ["", []],
  ])("reads %j", (text, parts) => {
    expect(parseGrounding(text, SIZE)).toEqual({ parts, rest: "" });
  });

  it.each([
    "<box>[[1, 2, 3]]</box>",
    "<box>[[1, 2, 3, 4, 5]]</box>",
    "<box>[[1, 2, 3, 4], 5]</box>",
    "<box>[[1, 2, 3, 1e999]]</box>",
    '<box>[["1", 2, 3, 4]]</box>',
    "<box>[]</box>",
    "<box>[[[1, 2, 3, 4]]]</box>",
    "<box>[[1, 2, 3, 4]</box>",
    "<box>null</box>",
    "<box>[[1, 2, 3, 4]]</quad>",
    "<quad>[[1, 2, 3, 4]]</quad>",
    "<quad>[[1, 2, 3, 4, 5, 6, 7]]</quad>",
    "<ref>a</ref> is here",
    "<ref>a<box></ref>b",
    "</ref></box>a < b",
    "<box>here it is",
  ])("leaves %j as text", (text) => {
    expect(parseGrounding(text, SIZE)).toEqual({ parts: [said(text)], rest: "" });
  });

  it("goes on after what is not well-formed", () => {
    expect(parseGrounding("<ref>a<ref>b</ref><box>[[1, 2, 3, 4]]</box>", SIZE).parts).toEqual([
      said("<ref>a"),
      boxes("b", [2, 1, 6, 2]),
    ]);
  });

  it("holds back an end that could become a box, and nothing else", () => {
    const answer = "See <ref>cat</ref><box>[[1, 2, 3, 4]]</box>!";
    const begin = answer.indexOf("<ref>");
    const end = answer.indexOf("!");
    for (let length = 0; length <= answer.length; length++) {
      const { parts, rest } = parseGrounding(answer.slice(0, length), SIZE);
      expect(rest).toBe(length > begin && length < end ? answer.slice(begin, length) : "");
      if (length >= end) expect(parts.at(1)).toEqual(boxes("cat", [2, 1, 6, 2]));
      else expect(parts.length).toBeLessThanOrEqual(1);
    }
  });

  it("loses nothing, reads any text, and keeps boxes inside the picture", () => {
    const words = [
      "<ref>",
      "</ref>",
      "<box>",
      "</box>",
      "<quad>",
      "[[1, 2, 3, 4]]",
      "[[5000, -1, 0, 0]]",
      "a",
      "<",
      "b",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 14 }), (list) => {
        const text = list.join("");
        const { parts, rest } = parseGrounding(text, SIZE);
        if (parts.every((p) => p.type === "text"))
          expect(parts.map((p) => (p.type === "text" ? p.text : "")).join("") + rest).toBe(text);
        for (const part of parts)
          if (part.type === "boxes")
            for (const { x1, y1, x2, y2 } of part.boxes) {
              expect(0 <= x1 && x1 <= x2 && x2 <= SIZE.width).toBe(true);
              expect(0 <= y1 && y1 <= y2 && y2 <= SIZE.height).toBe(true);
            }
      }),
      { numRuns: 300 },
    );
  });

  it("takes time in proportion to the text", () => {
    const text = "<ref>".repeat(100_000) + "<ref>a</ref><box>".repeat(50_000);
    const before = performance.now();
    parseGrounding(text, SIZE);
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe("formatBoxes", () => {
  it("writes thousandths of the picture, rounded as Python rounds", () => {
    expect(formatBoxes("cat", [{ x1: 200, y1: 100, x2: 600, y2: 200 }], SIZE)).toBe(
      "<ref>cat</ref><box>[[100, 200, 300, 400]]</box>",
    );
    // round(0.5) is 0, round(1.5) and round(2.5) are 2.
    expect(
      formatBoxes(
        "",
        [
          { x1: 1, y1: 0, x2: 3, y2: 500 },
          { x1: 5, y1: -7, x2: 9999, y2: 0.3 },
        ],
        SIZE,
      ),
    ).toBe("<ref></ref><box>[[0, 0, 2, 1000], [2, 0, 1000, 1]]</box>");
  });

  it("is undone by parsing, to half a thousandth", () => {
    const size = { width: 640, height: 427 };
    const box = fc.tuple(...[640, 427, 640, 427].map((max) => fc.double({ min: 0, max, noNaN: true })));
    fc.assert(
      fc.property(box, ([a, b, c, d]) => {
        const given = {
          x1: Math.min(a!, c!),
          y1: Math.min(b!, d!),
          x2: Math.max(a!, c!),
          y2: Math.max(b!, d!),
        };
        const [part] = parseGrounding(formatBoxes("x", [given], size), size).parts;
        const [read] = part?.type === "boxes" ? part.boxes : [];
        for (const key of ["x1", "y1", "x2", "y2"] as const)
          expect(Math.abs(read![key] - given[key])).toBeLessThanOrEqual(0.33);
      }),
    );
  });

  it("refuses what it cannot write", () => {
    const box = { x1: 0, y1: 0, x2: 1, y2: 1 };
    expect(() => formatBoxes("a", [], SIZE)).toThrow("formatBoxes: no boxes given");
    expect(() => formatBoxes("<box>", [box], SIZE)).toThrow("holds one of the marks");
    expect(() => formatBoxes("a", [{ ...box, x1: Number.NaN }], SIZE)).toThrow("formatBoxes: a box");
  });
});

it.each([
  ["[[100, 200, 300, 400]]", { x1: 200, y1: 100, x2: 600, y2: 200 }],
  ["The box is [0.1,0.2, 0.3, 0.4] or [1, 2, 3, 4].", { x1: 200, y1: 100, x2: 600, y2: 200 }],
  ["[1, 1, 1, 1]", { x1: 2, y1: 0.5, x2: 2, y2: 0.5 }],
  ["[1, 2, 3]", undefined],
  ["none", undefined],
])("firstBox of %j", (text, box) => {
  expect(firstBox(text, SIZE)).toEqual(box && expect.objectContaining(box));
});

it.each([
  { width: 0, height: 1 },
  { width: 1, height: Number.NaN },
  { width: Number.POSITIVE_INFINITY, height: 1 },
])("refuses a picture of %j", (size) => {
  const message = `a picture of ${size.width}×${size.height} pixels`;
  expect(() => parseGrounding("a", size)).toThrow(message);
  expect(() => firstBox("a", size)).toThrow(message);
  expect(() => formatBoxes("a", [{ x1: 0, y1: 0, x2: 1, y2: 1 }], size)).toThrow(message);
});
