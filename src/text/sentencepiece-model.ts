import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { CheckpointError, messageOf } from "../core/errors.ts";

/** What a piece stands for. `byte` pieces are named `<0x00>` … `<0xFF>`. */
export type PieceType = "normal" | "unknown" | "control" | "user_defined" | "unused" | "byte";

/** One entry of the vocabulary; its index is its id. A higher score merges earlier. */
export interface Piece {
  readonly piece: string;
  readonly score: number;
  readonly type: PieceType;
}

/** The part of a SentencePiece BPE model that encoding and decoding depend on. */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  /** Characters outside the vocabulary become their UTF-8 bytes instead of the unknown piece. */
  readonly byteFallback: boolean;
  /** A space is put before every text. */
  readonly addDummyPrefix: boolean;
  /** Leading and trailing spaces are removed, runs of spaces become one. */
  readonly removeExtraWhitespaces: boolean;
  /** No piece of two or more characters holds a digit. Of interest to training only. */
  readonly splitDigits: boolean;
  readonly unkPiece: string;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  /** What an unknown piece decodes to. */
  readonly unkSurface: string;
}

/** The character that stands for a space inside pieces, U+2581. */
export const SPACE = "\u2581";

/** The published defaults of the format: proto2 files leave out fields that have their default. */
export const MODEL_DEFAULTS = {
  byteFallback: false,
  addDummyPrefix: true,
  removeExtraWhitespaces: true,
  splitDigits: false,
  unkPiece: "<unk>",
  bosPiece: "<s>",
  eosPiece: "</s>",
  padPiece: "<pad>",
  unkSurface: " \u2047 ",
} as const satisfies Omit<SentencePieceModel, "pieces">;

const LIMITS = { bytes: 64 * 2 ** 20, pieces: 2 ** 20, pieceLength: 1024 } as const;
const BPE = 2;
const ALGORITHMS = ["an unnamed one", "unigram", "BPE", "word", "char"];
/** Wire values 1 to 6 of `SentencePiece.Type`, in order. */
const TYPES: readonly PieceType[] = ["normal", "unknown", "control", "user_defined", "unused", "byte"];

/** The id that each byte's piece has; -1 where there is none. */
export function bytePieces(pieces: readonly Piece[]): Int32Array {
  const ids = new Int32Array(256).fill(-1);
  for (const [id, { piece, type }] of pieces.entries()) {
    const hex = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
    if (type === "byte" && hex !== undefined) ids[Number.parseInt(hex, 16)] = id;
  }
  return ids;
}

/** The name of a byte's piece, e.g. `<0x0A>`. */
export const bytePiece = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

type Fields = Readonly<Record<number, readonly [WireType, (reader: BinaryReader) => void]>>;

/** Reads one message; fields that are not in `fields` are skipped, as protobuf asks. */
function readMessage(name: string, bytes: Uint8Array, fields: Fields): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const field = fields[number];
    if (field === undefined) reader.skip(wire, number);
    else if (field[0] !== wire)
      throw new Error(`field ${number} of ${name} has wire type ${wire}, expected ${field[0]}`);
    else field[1](reader);
  }
}

function readPiece(bytes: Uint8Array): Piece {
  let piece = "";
  let score = 0;
  let type = 1;
  readMessage("SentencePiece", bytes, {
    1: [WireType.LengthDelimited, (r) => (piece = r.string(true))],
    2: [WireType.Bit32, (r) => (score = r.float())],
    3: [WireType.Varint, (r) => (type = r.int32())],
  });
  const known = TYPES[type - 1];
  if (known === undefined) throw new Error(`piece ${JSON.stringify(piece)} has the unknown type ${type}`);
  return { piece, score, type: known };
}

/** What the file says, before it is judged. */
interface RawModel {
  model: { -readonly [K in keyof SentencePieceModel]: SentencePieceModel[K] };
  algorithm: number;
  hasTrainer: boolean;
  hasNormalizer: boolean;
  hasDenormalizer: boolean;
  charsmapBytes: number;
  escapeWhitespaces: boolean;
  whitespaceAsSuffix: boolean;
}

function readModel(bytes: Uint8Array): RawModel {
  const pieces: Piece[] = [];
  const model = { ...MODEL_DEFAULTS, pieces } as RawModel["model"];
  const raw: RawModel = {
    model,
    algorithm: 1,
    hasTrainer: false,
    hasNormalizer: false,
    hasDenormalizer: false,
    charsmapBytes: 0,
    escapeWhitespaces: true,
    whitespaceAsSuffix: false,
  };
  const trainer: Fields = {
    3: [WireType.Varint, (r) => (raw.algorithm = r.int32())],
    24: [WireType.Varint, (r) => (raw.whitespaceAsSuffix = r.bool())],
    25: [WireType.Varint, (r) => (model.splitDigits = r.bool())],
    35: [WireType.Varint, (r) => (model.byteFallback = r.bool())],
    44: [WireType.LengthDelimited, (r) => (model.unkSurface = r.string(true))],
    45: [WireType.LengthDelimited, (r) => (model.unkPiece = r.string(true))],
    46: [WireType.LengthDelimited, (r) => (model.bosPiece = r.string(true))],
    47: [WireType.LengthDelimited, (r) => (model.eosPiece = r.string(true))],
    48: [WireType.LengthDelimited, (r) => (model.padPiece = r.string(true))],
  };
  const normalizer: Fields = {
    2: [WireType.LengthDelimited, (r) => (raw.charsmapBytes = r.bytes().length)],
    3: [WireType.Varint, (r) => (model.addDummyPrefix = r.bool())],
    4: [WireType.Varint, (r) => (model.removeExtraWhitespaces = r.bool())],
    5: [WireType.Varint, (r) => (raw.escapeWhitespaces = r.bool())],
  };
  readMessage("ModelProto", bytes, {
    1: [
      WireType.LengthDelimited,
      (r) => {
        if (pieces.length === LIMITS.pieces) throw new Error(`more than ${LIMITS.pieces} pieces`);
        pieces.push(readPiece(r.bytes()));
      },
    ],
    2: [
      WireType.LengthDelimited,
      (r) => {
        raw.hasTrainer = true;
        readMessage("TrainerSpec", r.bytes(), trainer);
      },
    ],
    3: [
      WireType.LengthDelimited,
      (r) => {
        raw.hasNormalizer = true;
        readMessage("NormalizerSpec", r.bytes(), normalizer);
      },
    ],
    5: [
      WireType.LengthDelimited,
      (r) =>
        readMessage("denormalizer_spec", r.bytes(), {
          2: [WireType.LengthDelimited, (d) => (raw.hasDenormalizer ||= d.bytes().length > 0)],
        }),
    ],
  });
  return raw;
}

/** Everything that is wrong with a vocabulary; empty when it is sound. */
function pieceProblems({ pieces, byteFallback }: SentencePieceModel): string[] {
  const problems: string[] = [];
  const seen = new Map<string, number>();
  let unknowns = 0;
  for (const [id, { piece, score, type }] of pieces.entries()) {
    const first = seen.get(piece);
    if (first !== undefined) problems.push(`piece ${id} repeats piece ${first}, ${JSON.stringify(piece)}`);
    else seen.set(piece, id);
    if (piece === "") problems.push(`piece ${id} is empty`);
    if (piece.length > LIMITS.pieceLength)
      problems.push(`piece ${id} is ${piece.length} characters long, the limit is ${LIMITS.pieceLength}`);
    if (!Number.isFinite(score)) problems.push(`piece ${id} has the score ${score}`);
    if (type === "unknown") unknowns++;
  }
  if (unknowns !== 1) problems.push(`${unknowns} pieces are of the type unknown, expected exactly one`);
  const missing = bytePieces(pieces).filter((id) => id < 0).length;
  if (byteFallback && missing > 0)
    problems.push(`byte fallback is on but ${missing} of 256 byte pieces lack`);
  return problems;
}

function problemsOf(raw: RawModel): string[] {
  const problems: string[] = [];
  if (!raw.hasTrainer || !raw.hasNormalizer)
    problems.push(
      `it has no ${raw.hasTrainer ? "normalizer_spec" : "trainer_spec"}: is it a whole tokenizer.model?`,
    );
  else if (raw.algorithm !== BPE)
    problems.push(
      `its algorithm is ${ALGORITHMS[raw.algorithm] ?? raw.algorithm}, only BPE is supported: use the folder's tokenizer.json instead`,
    );
  if (raw.charsmapBytes > 0 || raw.hasDenormalizer)
    problems.push(
      "it rewrites characters (a precompiled_charsmap), only the identity normaliser is supported: use the folder's tokenizer.json instead",
    );
  if (!raw.escapeWhitespaces) problems.push("escape_whitespaces is off, which is not supported");
  if (raw.whitespaceAsSuffix) problems.push("treat_whitespace_as_suffix is on, which is not supported");
  return problems;
}

function refuse(where: string, problems: readonly string[]): never {
  const shown = problems.slice(0, 5).join("; ");
  const more = problems.length > 5 ? `; and ${problems.length - 5} more` : "";
  throw new CheckpointError(`${where}: not a usable SentencePiece model: ${shown}${more}`);
}

/**
 * Parses a `tokenizer.model` (protobuf `ModelProto`, sentencepiece_model.proto of google/sentencepiece).
 * The bytes are untrusted. Throws CheckpointError, with every problem in one message, for files that are truncated,
 * too large, inconsistent, or need what is not supported (other algorithms than BPE, character rewriting).
 * `where` begins the message: the file's path.
 */
export function parseSentencePieceModel(bytes: Uint8Array, where = "tokenizer.model"): SentencePieceModel {
  if (bytes.length > LIMITS.bytes)
    refuse(where, [`it has ${bytes.length} bytes, the limit is ${LIMITS.bytes}`]);
  let raw: RawModel;
  try {
    raw = readModel(bytes);
  } catch (cause) {
    throw new CheckpointError(
      `${where}: not a SentencePiece model: ${messageOf(cause)} (${bytes.length} bytes read); the file may be truncated or a Git LFS pointer, fetch it again`,
      { cause },
    );
  }
  const specProblems = problemsOf(raw);
  const problems = specProblems.length > 0 ? specProblems : pieceProblems(raw.model);
  if (problems.length > 0) refuse(where, problems);
  return raw.model;
}

/** A model that came from elsewhere, checked as a file is. Throws CheckpointError; `where` begins the message. */
export function checkedSentencePieceModel(model: SentencePieceModel, where: string): SentencePieceModel {
  const problems = pieceProblems(model);
  if (problems.length > 0) refuse(where, problems);
  return model;
}

/**
 * The bytes of a `tokenizer.model` that SentencePiece itself also reads. The same model gives the same bytes.
 * Throws CheckpointError when the vocabulary is not sound (a repeated piece, no unknown piece, …).
 */
export function writeSentencePieceModel(model: SentencePieceModel): Uint8Array {
  checkedSentencePieceModel(model, "writeSentencePieceModel");
  const w = new BinaryWriter();
  const text = (field: number, value: string) => w.tag(field, WireType.LengthDelimited).string(value);
  const flag = (field: number, value: boolean) => w.tag(field, WireType.Varint).bool(value);
  const int = (field: number, value: number) => w.tag(field, WireType.Varint).int32(value);

  for (const { piece, score, type } of model.pieces) {
    w.tag(1, WireType.LengthDelimited).fork();
    text(1, piece);
    w.tag(2, WireType.Bit32).float(score);
    int(3, TYPES.indexOf(type) + 1);
    w.join();
  }
  const idOf = (piece: string) => model.pieces.findIndex((p) => p.piece === piece);
  w.tag(2, WireType.LengthDelimited).fork();
  int(3, BPE);
  int(4, model.pieces.length);
  flag(25, model.splitDigits);
  flag(35, model.byteFallback);
  const named = [model.unkPiece, model.bosPiece, model.eosPiece, model.padPiece];
  for (const [i, piece] of named.entries()) int(40 + i, idOf(piece));
  text(44, model.unkSurface);
  for (const [i, piece] of named.entries()) text(45 + i, piece);
  w.join();
  w.tag(3, WireType.LengthDelimited).fork();
  text(1, "identity");
  flag(3, model.addDummyPrefix);
  flag(4, model.removeExtraWhitespaces);
  flag(5, true);
  w.join();
  return w.finish();
}
