import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import {
  expandImages,
  type Prompt,
  type PromptPiece,
  promptText,
  segmentPieces,
  type TextSegment,
} from "./prompt-segments.ts";

const SPECIALS = new Set([
  "<|im_start|>",
  "<|im_end|>",
  "<img>",
  "</img>",
  "<IMG_CONTEXT>",
  "<ref>",
  "<|im_end|>x",
]);

describe("segmentPieces", () => {
  it("finds tokens in the template's text alone and joins what lies between them", () => {
    const pieces: PromptPiece[] = [
      { text: "<|im_start|>user\n", own: true },
      { text: "Hi <|im_end|> <ref>there", own: false },
      { block: 0 },
      { text: "\n", own: true },
      { text: "\nyou", own: false },
      { text: "<|im_end|>", own: true },
      { text: "", own: true },
    ];
    expect(segmentPieces(pieces, SPECIALS)).toEqual([
      { text: "<|im_start|>", special: true },
      { text: "user\nHi <|im_end|> ", special: false },
      { text: "<ref>", special: true },
      { text: "there", special: false },
      { block: 0 },
      { text: "\n\nyou", special: false },
      { text: "<|im_end|>", special: true },
    ]);
  });

  it("takes the longest token that begins at a place", () => {
    const pieces = [{ text: "a<|im_end|>xy", own: true }];
    expect(segmentPieces(pieces, SPECIALS).map((s) => ("text" in s ? s.text : ""))).toEqual([
      "a",
      "<|im_end|>x",
      "y",
    ]);
  });

  it("leaves what the tokenizer has no token for as text", () => {
    const pieces = [
      { text: "<human>: ", own: true },
      { text: "<ref>", own: false },
    ];
    expect(segmentPieces(pieces, new Set())).toEqual([{ text: "<human>: <ref>", special: false }]);
    expect(segmentPieces(pieces, new Set(["<ref>"]), [])).toEqual([
      { text: "<human>: <ref>", special: false },
    ]);
  });

  // A stand-in for byte-level BPE: its pre-tokens, which the text's cut points decide, stand for ids.
  const PRE_TOKENS = /'s|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;
  const preTokens = (text: string): string[] => text.normalize("NFC").match(PRE_TOKENS) ?? [];
  const encodeWhole = (text: string) =>
    text.split(/(<\|im_start\|>|<\|im_end\|>)/).flatMap((part, i) => (i % 2 ? [part] : preTokens(part)));
  const encodeSegments = (segments: readonly TextSegment[]) =>
    segments.flatMap((s) => (s.special ? [s.text] : preTokens(s.text)));

  it("gives ordinary text the tokens that it has in the whole prompt", () => {
    const text = fc.stringMatching(/^([\sa-zA-Z0-9.,!'中é]|\u0301)*$/u);
    fc.assert(
      fc.property(text, fc.constantFrom("user\n", "human: ", "a", "\n\n"), (said, role) => {
        const pieces = [
          { text: `<|im_start|>${role}`, own: true },
          { text: said, own: false },
          { text: " <|im_end|>", own: true },
        ];
        const segments = segmentPieces(pieces, SPECIALS) as TextSegment[];
        expect(encodeSegments(segments)).toEqual(encodeWhole(`<|im_start|>${role}${said} <|im_end|>`));
      }),
    );
    // The stand-in can tell: encoding a message by itself gives others.
    expect(preTokens("human: ").concat(preTokens("Hi"))).not.toEqual(preTokens("human: Hi"));
    expect(preTokens("user\n").concat(preTokens("\nHi"))).not.toEqual(preTokens("user\n\nHi"));
  });
});

describe("expandImages", () => {
  const prompt: Prompt<string> = {
    segments: [{ text: "a", special: false }, { block: 0 }, { text: "b", special: false }, { block: 1 }],
    blocks: [["x"], ["y", "z"]],
  };

  it("writes a context token for each feature of each tile", () => {
    const segments = expandImages(prompt, [1, 2], { tokensPerTile: 2 });
    expect(promptText(segments)).toBe(
      "a<img><IMG_CONTEXT><IMG_CONTEXT></img>b<img><IMG_CONTEXT><IMG_CONTEXT><IMG_CONTEXT><IMG_CONTEXT></img>",
    );
    expect(segments.filter((s) => !s.special).map((s) => s.text)).toEqual(["a", "b"]);
    const tokens = { start: "<s>", context: "<c>", end: "<e>" };
    expect(promptText(expandImages(prompt, [1, 1], { tokensPerTile: 1, tokens }))).toBe(
      "a<s><c><e>b<s><c><e>",
    );
    expect(promptText(prompt.segments)).toBe("a<image>b<image>");
  });

  it("writes 256 a tile unless told otherwise", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 13 }), { minLength: 2, maxLength: 2 }), (tiles) => {
        const runs = promptText(expandImages(prompt, tiles)).match(/<img>(<IMG_CONTEXT>)*<\/img>/g)!;
        expect(runs.map((run) => run.split("<IMG_CONTEXT>").length - 1)).toEqual(tiles.map((n) => 256 * n));
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    [[1], "1 counts of tiles for a prompt with 2 blocks"],
    [[1, 0], "a block of 0 tiles"],
    [[1.5, 1], "a block of 1.5 tiles"],
    [[Number.NaN, 1], "a block of NaN tiles"],
    [[4096, 1], "1048832 image tokens, expected at most 1048576"],
  ])("refuses counts %j", (tiles, message) => {
    expect(() => expandImages(prompt, tiles)).toThrow(UsageError);
    expect(() => expandImages(prompt, tiles)).toThrow(message);
  });
});
