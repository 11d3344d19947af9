import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeUtf8 } from "./utf8.ts";

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
