import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeUtf8Prefix } from "./utf8.ts";

const decodeUtf8 = (bytes: ArrayLike<number>) => decodeUtf8Prefix(bytes, true).text;

it("decodes whatever TextEncoder makes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(decodeUtf8(new TextEncoder().encode(text))).toBe(text);
    }),
  );
});

it.each([
  ["a lone continuation", [0x80, 0x41], "\ufffdA"],
  ["a cut sequence, byte by byte", [0xe2, 0x96], "\ufffd\ufffd"],
  ["a sequence broken by a letter", [0xe2, 0x96, 0x41], "\ufffd\ufffdA"],
  ["an overlong form", [0xc0, 0x80], "\ufffd\ufffd"],
  ["a surrogate", [0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"],
  ["beyond the last code point", [0xf4, 0x90, 0x80, 0x80], "\ufffd\ufffd\ufffd\ufffd"],
  ["an impossible byte", [0xff], "\ufffd"],
])("replaces %s", (_, bytes, text) => {
  expect(decodeUtf8(bytes)).toBe(text);
});

it("leaves what may be the beginning of a character", () => {
  expect(decodeUtf8Prefix([0x41, 0xe2, 0x96])).toEqual({ text: "A", length: 1 });
  expect(decodeUtf8Prefix([0xf0, 0x9f, 0x99])).toEqual({ text: "", length: 0 });
  expect(decodeUtf8Prefix([0xe2, 0x96, 0x41])).toEqual({ text: "\ufffd\ufffdA", length: 3 });
  expect(decodeUtf8Prefix([0xff])).toEqual({ text: "\ufffd", length: 1 });
});

it("gives the same text cut anywhere", () => {
  const byte = fc.constantFrom(0x41, 0x80, 0x96, 0x9f, 0xc3, 0xe2, 0xed, 0xf0, 0xf4, 0xff);
  fc.assert(
    fc.property(fc.array(byte), (bytes) => {
      let text = "";
      let held: number[] = [];
      for (const b of bytes) {
        held.push(b);
        const settled = decodeUtf8Prefix(held);
        text += settled.text;
        held = held.slice(settled.length);
        expect(held.length).toBeLessThan(4);
      }
      expect(text + decodeUtf8(held)).toBe(decodeUtf8(bytes));
    }),
  );
});
