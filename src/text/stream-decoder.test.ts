import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteStream, PieceStream, type PieceText, type TokenStream, WholeStream } from "./stream-decoder.ts";

/** The pieces that come out, the last being what the end gives. */
const run = (stream: TokenStream, ids: readonly number[]) => [
  ...ids.map((id) => stream.token(id)),
  stream.end(),
];

describe("ByteStream", () => {
  const stream = () => new ByteStream((id) => Uint8Array.of(...(id < 256 ? [id] : [0xf0, 0x9f, id - 256])));

  it("joined is what TextDecoder makes of all bytes, and no piece ends inside a character", () => {
    const byte = fc.oneof(fc.nat(511), fc.constantFrom(0x41, 0xe2, 0x96, 0x81, 0xf0, 0x9f, 0xef, 0xbb, 0xbf));
    fc.assert(
      fc.property(fc.array(byte), (ids) => {
        const bytes = ids.flatMap((id) => (id < 256 ? [id] : [0xf0, 0x9f, id - 256]));
        const pieces = run(stream(), ids);
        expect(pieces.join("")).toBe(
          new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)),
        );
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      }),
    );
  });

  it("gives a character with its last byte, an unfinished one before an added token and at the end", () => {
    const s = stream();
    expect([0xe7, 0x8c, 0xab].map((b) => s.token(b))).toEqual(["", "", "猫"]);
    expect(s.token(0xe7) + s.added(1, "<é>")).toBe("\ufffd<é>");
    expect(s.token(0xe7)).toBe("");
    expect([s.end(), s.end(), s.token(0x41)]).toEqual(["\ufffd", "", "A"]);
  });
});

describe("PieceStream", () => {
  const PIECES: readonly PieceText[] = ["▁a", "b", "▁", 0xe7, 0x8c, 0xab, 0xff, ""];
  const stream = (leadingSpace: "keep" | "drop-one" | "drop-all", afterAdded = true) =>
    new PieceStream((id) => PIECES[id]!, { leadingSpace, afterAdded });

  it.each([
    ["keep", [2, 0, 0], "  a a"],
    ["drop-one", [2, 0, 0], " a a"],
    ["drop-all", [2, 0, 0], "a a"],
    ["drop-one", [7, 0, 1], "ab"],
    ["drop-one", [3, 4, 5, 0], "猫 a"],
    ["keep", [3, 4, 1, 6, 5], "\ufffd\ufffdb\ufffd\ufffd"],
    ["keep", [3, 3, 4], "\ufffd\ufffd\ufffd"],
  ] as const)("%s: %j is %j", (leadingSpace, ids, text) => {
    expect(run(stream(leadingSpace), ids).join("")).toBe(text);
  });

  it("gives a character with its last byte", () => {
    expect(run(stream("keep"), [3, 4, 5, 3])).toEqual(["", "", "猫", "", "\ufffd"]);
    expect(run(stream("keep"), [3, 4, 1])).toEqual(["", "", "\ufffd\ufffdb", ""]);
  });

  it("begins anew after an added token where encoding does, and after the end", () => {
    const text = (s: PieceStream) => s.token(0) + s.added(9, "<x>") + s.token(0) + s.end() + s.token(0);
    expect(text(stream("drop-one"))).toBe("a<x>aa");
    expect(text(stream("drop-one", false))).toBe("a<x> aa");
  });
});

it("WholeStream gives everything at the end", () => {
  const stream = new WholeStream((ids) => ids.join("-"));
  expect([stream.token(1), stream.added(2), stream.token(3), stream.end(), stream.end()]).toEqual([
    "",
    "",
    "",
    "1-2-3",
    "",
  ]);
});
