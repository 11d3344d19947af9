import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../core/errors.ts";
import {
  bytePiece,
  MODEL_DEFAULTS,
  type Piece,
  parseSentencePieceModel,
  type SentencePieceModel,
  writeSentencePieceModel,
} from "./sentencepiece-model.ts";

const pieces: readonly Piece[] = [
  { piece: "<unk>", score: 0, type: "unknown" },
  { piece: "<s>", score: 0, type: "control" },
  { piece: "</s>", score: 0, type: "control" },
  { piece: "▁猫", score: -0.5, type: "normal" },
  { piece: "<img>", score: 0, type: "user_defined" },
  { piece: "x", score: -3, type: "unused" },
];
const model: SentencePieceModel = {
  ...MODEL_DEFAULTS,
  removeExtraWhitespaces: false,
  unkSurface: "?",
  pieces,
};

/** A hand-written file: the given pieces, then trainer and normaliser fields as the callbacks write them. */
function file(
  trainer: (w: BinaryWriter) => void,
  normalizer: (w: BinaryWriter) => void = () => {},
  extra: (w: BinaryWriter) => void = () => {},
): Uint8Array {
  const w = new BinaryWriter();
  w.tag(1, WireType.LengthDelimited).fork();
  w.tag(1, WireType.LengthDelimited).string("<unk>").tag(3, WireType.Varint).int32(2).join();
  w.tag(2, WireType.LengthDelimited).fork();
  trainer(w);
  w.join().tag(3, WireType.LengthDelimited).fork();
  normalizer(w);
  w.join();
  extra(w);
  return w.finish();
}
const bpe = (w: BinaryWriter) => w.tag(3, WireType.Varint).int32(2);

describe("SentencePiece model files", () => {
  it("reads back what it writes", () => {
    expect(parseSentencePieceModel(writeSentencePieceModel(model))).toEqual(model);
    const flags = { ...model, addDummyPrefix: false, removeExtraWhitespaces: true, splitDigits: true };
    expect(parseSentencePieceModel(writeSentencePieceModel(flags))).toEqual(flags);
    const bytes = Array.from(
      { length: 256 },
      (_, b): Piece => ({ piece: bytePiece(b), score: 0, type: "byte" }),
    );
    const fallback = { ...model, byteFallback: true, pieces: [...pieces, ...bytes] };
    expect(parseSentencePieceModel(writeSentencePieceModel(fallback))).toEqual(fallback);
  });

  it("gives missing fields their published defaults", () => {
    const parsed = parseSentencePieceModel(file(bpe));
    expect(parsed).toEqual({ ...MODEL_DEFAULTS, pieces: [{ piece: "<unk>", score: 0, type: "unknown" }] });
  });

  it("refuses a file cut at any byte", () => {
    const whole = writeSentencePieceModel(model);
    for (let length = 0; length < whole.length; length++)
      expect(() => parseSentencePieceModel(whole.subarray(0, length), "a/tokenizer.model")).toThrow(
        CheckpointError,
      );
    expect(() => parseSentencePieceModel(whole.subarray(0, 31), "a/tokenizer.model")).toThrow(
      /^a\/tokenizer\.model: .*31 bytes read.*truncated/,
    );
  });

  it("ends in a clear error, or a sound model, for any bytes", () => {
    const whole = writeSentencePieceModel(model);
    const change = fc.record({ at: fc.nat(whole.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = whole.slice();
        for (const { at, to } of changes) bytes[at] = to;
        try {
          writeSentencePieceModel(parseSentencePieceModel(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    [
      "a unigram model",
      file((w) => w.tag(3, WireType.Varint).int32(1)),
      /algorithm is unigram, only BPE.*tokenizer\.json/,
    ],
    ["a model that leaves the algorithm at its default", file(() => {}), /algorithm is unigram/],
    ["an unheard-of algorithm", file((w) => w.tag(3, WireType.Varint).int32(9)), /algorithm is 9/],
    [
      "character rewriting",
      file(bpe, (w) => w.tag(2, WireType.LengthDelimited).bytes(new Uint8Array(9))),
      /precompiled_charsmap/,
    ],
    [
      "rewriting on decoding",
      file(bpe, undefined, (w) => {
        w.tag(5, WireType.LengthDelimited)
          .fork()
          .tag(2, WireType.LengthDelimited)
          .bytes(new Uint8Array(9))
          .join();
      }),
      /precompiled_charsmap/,
    ],
    ["plain spaces", file(bpe, (w) => w.tag(5, WireType.Varint).bool(false)), /escape_whitespaces/],
    [
      "spaces as suffixes",
      file((w) => bpe(w).tag(24, WireType.Varint).bool(true)),
      /treat_whitespace_as_suffix/,
    ],
    [
      "byte fallback without bytes",
      file((w) => bpe(w).tag(35, WireType.Varint).bool(true)),
      /256 of 256 byte pieces lack/,
    ],
    [
      "another field's wire type",
      file((w) => w.tag(3, WireType.Bit32).float(2)),
      /field 3 of TrainerSpec has wire type 5/,
    ],
    [
      "an unknown type of piece",
      file(bpe, undefined, (w) => {
        w.tag(1, WireType.LengthDelimited)
          .fork()
          .tag(1, WireType.LengthDelimited)
          .string("q")
          .tag(3, WireType.Varint)
          .int32(7)
          .join();
      }),
      /piece "q" has the unknown type 7/,
    ],
    ["too many bytes", new Uint8Array(64 * 2 ** 20 + 1), /67108865 bytes, the limit/],
    ["an empty file", new Uint8Array(0), /no trainer_spec/],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => parseSentencePieceModel(bytes, "m")).toThrow(message);
  });

  it("names every problem of a vocabulary at once", () => {
    const bad: Piece[] = [
      { piece: "a", score: Number.NaN, type: "normal" },
      { piece: "a", score: 0, type: "normal" },
      { piece: "", score: 0, type: "normal" },
      { piece: "b".repeat(1025), score: 0, type: "normal" },
    ];
    const message = (() => {
      try {
        writeSentencePieceModel({ ...model, pieces: bad });
        return "";
      } catch (error) {
        return String(error);
      }
    })();
    expect(message).toContain("piece 0 has the score NaN");
    expect(message).toContain('piece 1 repeats piece 0, "a"');
    expect(message).toContain("piece 2 is empty");
    expect(message).toContain("piece 3 is 1025 characters long");
    expect(message).toContain("0 pieces are of the type unknown, expected exactly one");
    const repeated = Array.from({ length: 9 }, () => bad[1]!);
    expect(() => writeSentencePieceModel({ ...model, pieces: repeated })).toThrow(/and 4 more/);
  });
});
