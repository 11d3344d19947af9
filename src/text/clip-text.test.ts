import { describe, expect, it } from "vitest";
import { UsageError } from "../core/errors.ts";
import { MAX_TEXT_TOKENS } from "../core/text-limit.ts";
import { trainBpe } from "./bpe-trainer.ts";
import { encodeForInternVLC, TEXT_PREFIX } from "./clip-text.ts";
import { sentencePieceTokenizer } from "./sentencepiece-tokenizer.ts";

const tokenizer = sentencePieceTokenizer(
  trainBpe([["summarize:a photo of a cat summarize: summarize:", 3]], { vocabSize: 320 }),
);
const rows = ({ ids }: { ids: { shape: readonly number[]; data: BigInt64Array } }) =>
  Array.from({ length: ids.shape[0]! }, (_, b) =>
    Array.from(ids.data.subarray(b * ids.shape[1]!, (b + 1) * ids.shape[1]!), Number),
  );

describe("encodeForInternVLC", () => {
  it("puts the prefix before, BOS and EOS around, and zeros after each text", () => {
    const texts = ["a cat", "", "a photo of a cat"];
    const encoded = encodeForInternVLC(tokenizer, texts);
    const expected = texts.map((t) => [1, ...tokenizer.encode(TEXT_PREFIX + t), 2]);
    const longest = Math.max(...expected.map((e) => e.length));
    expect(encoded.lengths).toEqual(expected.map((e) => e.length));
    expect(encoded.ids.shape).toEqual([3, longest]);
    expect(rows(encoded)).toEqual(expected.map((e) => [...e, ...new Array(longest - e.length).fill(0)]));
  });

  it("has no space between prefix and text", () => {
    const [row] = rows(encodeForInternVLC(tokenizer, ["cat"]));
    expect(tokenizer.decode(row!.filter((id) => id > 0))).toBe("summarize:cat");
    const [bare] = rows(encodeForInternVLC(tokenizer, ["cat"], { prefix: "" }));
    expect(tokenizer.decode(bare!)).toBe("cat");
  });

  it("cuts on the right and keeps EOS last", () => {
    const long = "cat ".repeat(200);
    const [row] = rows(encodeForInternVLC(tokenizer, [long]));
    expect(row).toHaveLength(MAX_TEXT_TOKENS);
    expect(row).toEqual([1, ...tokenizer.encode(TEXT_PREFIX + long).slice(0, MAX_TEXT_TOKENS - 2), 2]);
    const short = encodeForInternVLC(tokenizer, [long, "a"], { maxLength: 5 });
    expect(short.lengths).toEqual([5, 5]);
    expect(rows(short).map((r) => r.at(-1))).toEqual([2, 2]);
    const exact = tokenizer.encode(`${TEXT_PREFIX}a cat`).length + 2;
    expect(rows(encodeForInternVLC(tokenizer, ["a cat"], { maxLength: exact }))).toEqual([
      [1, ...tokenizer.encode(`${TEXT_PREFIX}a cat`), 2],
    ]);
  });

  it("refuses no texts and impossible lengths", () => {
    expect(() => encodeForInternVLC(tokenizer, [])).toThrow(UsageError);
    expect(() => encodeForInternVLC(tokenizer, ["a"], { maxLength: 2 })).toThrow(/maxLength is 2/);
    expect(() => encodeForInternVLC(tokenizer, ["a"], { maxLength: 7.5 })).toThrow(UsageError);
  });
});

describe("special pieces inside a text", () => {
  it("become their ids, and the text after them begins with a space of its own", () => {
    expect(tokenizer.encode("cat</s>cat")).toEqual([
      ...tokenizer.encode("cat"),
      2,
      ...tokenizer.encode("cat"),
    ]);
    expect(tokenizer.encode("<s>")).toEqual([1]);
    expect(tokenizer.encode("<unk>")).toEqual([0]);
    expect(tokenizer.decode([1, ...tokenizer.encode("a cat"), 2])).toBe("a cat");
  });
});
