import { ConfigError } from "../core/errors.ts";
import { BREAK, PairCounts } from "./pair-counts.ts";
import { preTokenizer } from "./pre-tokens.ts";
import {
  bytePiece,
  MODEL_DEFAULTS,
  type Piece,
  type SentencePieceModel,
  SPACE,
} from "./sentencepiece-model.ts";

export interface BpeTrainerOptions {
  /** Pieces in all: 3 special ones, 256 bytes, the characters, the merges. Default 16,000. */
  readonly vocabSize?: number;
  /** Share of the text's characters that get a piece of their own; the rarest rest becomes bytes. Default 0.9995. */
  readonly characterCoverage?: number;
  /** Longest piece in code points. Default 16. */
  readonly maxPieceLength?: number;
}

const DEFAULTS = { vocabSize: 16_000, characterCoverage: 0.9995, maxPieceLength: 16 } as const;
/** A pair seen once says nothing about the language. */
const LEAST_COUNT = 2;
const BYTES = 256;

/**
 * Trains a byte-fallback BPE vocabulary in the manner of LLaMA's: unknown 0, BOS 1, EOS 2, bytes 3-258, then merges by
 * falling frequency, then characters; identity normaliser, a space before each text, every space kept, digits single.
 *
 * `texts` are [text, count] pairs: a Map or any iterable; their order does not matter, and equal input gives an equal
 * model. The model has fewer than `vocabSize` pieces when the texts hold no more pairs that occur twice. Throws
 * ConfigError for impossible options or counts and when the characters alone do not fit the vocabulary.
 * Algorithm: Sennrich et al., arXiv:1508.07909; file layout: google/sentencepiece.
 */
export function trainBpe(
  texts: Iterable<readonly [text: string, count: number]>,
  options: BpeTrainerOptions = {},
): SentencePieceModel {
  const { vocabSize, characterCoverage, maxPieceLength } = { ...DEFAULTS, ...options };
  checkOptions({ vocabSize, characterCoverage, maxPieceLength });
  const words = countPreTokens(texts, maxPieceLength);
  const special = specialPieces();
  const alphabet = chooseAlphabet(words, characterCoverage);
  const room = vocabSize - special.length - alphabet.length;
  if (room < 0)
    throw new ConfigError(
      `trainBpe: ${alphabet.length} characters are needed for a coverage of ${characterCoverage}, but vocabSize ${vocabSize} leaves room for ${vocabSize - special.length}; raise vocabSize or lower characterCoverage`,
    );
  const merges = learnMerges(words, alphabet, room);
  const learned = [...merges, ...alphabet].map((piece, i): Piece => ({ piece, score: -i, type: "normal" }));
  return {
    ...MODEL_DEFAULTS,
    byteFallback: true,
    removeExtraWhitespaces: false,
    splitDigits: true,
    pieces: [...special, ...learned],
  };
}

function checkOptions({ vocabSize, characterCoverage, maxPieceLength }: Required<BpeTrainerOptions>): void {
  const problems: string[] = [];
  const smallest = specialPieces().length + 1;
  if (!Number.isInteger(vocabSize) || vocabSize < smallest || vocabSize > 2 ** 20)
    problems.push(`vocabSize is ${vocabSize}, expected an integer from ${smallest} to ${2 ** 20}`);
  if (!(characterCoverage > 0 && characterCoverage <= 1))
    problems.push(`characterCoverage is ${characterCoverage}, expected more than 0 and at most 1`);
  if (!Number.isInteger(maxPieceLength) || maxPieceLength < 1 || maxPieceLength > 256)
    problems.push(`maxPieceLength is ${maxPieceLength}, expected an integer from 1 to 256`);
  if (problems.length > 0) throw new ConfigError(`trainBpe: ${problems.join("; ")}`);
}

function specialPieces(): Piece[] {
  const { unkPiece, bosPiece, eosPiece } = MODEL_DEFAULTS;
  return [
    { piece: unkPiece, score: 0, type: "unknown" },
    { piece: bosPiece, score: 0, type: "control" },
    { piece: eosPiece, score: 0, type: "control" },
    ...Array.from({ length: BYTES }, (_, b): Piece => ({ piece: bytePiece(b), score: 0, type: "byte" })),
  ];
}

/** Pre-tokens with their counts, in code-unit order, so that the order of the texts has no influence. */
function countPreTokens(
  texts: Iterable<readonly [string, number]>,
  maxLength: number,
): [word: string, count: number][] {
  const counts = new Map<string, number>();
  const cut = preTokenizer(maxLength);
  for (const [text, count] of texts) {
    if (!Number.isSafeInteger(count) || count < 0)
      throw new ConfigError(
        `trainBpe: the count of ${JSON.stringify(text.slice(0, 60))} is ${count}, expected an integer of at least 0`,
      );
    if (count > 0) cut(text, (word) => counts.set(word, (counts.get(word) ?? 0) + count));
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The most frequent characters that together cover `coverage` of the text, by falling frequency. */
function chooseAlphabet(words: readonly (readonly [string, number])[], coverage: number): string[] {
  const counts = new Map<string, number>([[SPACE, 0]]);
  let total = 0;
  for (const [word, count] of words)
    for (const char of word) {
      if (/\p{Cc}/u.test(char)) continue; // tabs, newlines: bytes serve them
      counts.set(char, (counts.get(char) ?? 0) + count);
      total += count;
    }
  // The space is always covered: encoding puts one before every text.
  const sorted = [...counts].sort(([a, m], [b, n]) =>
    a === SPACE ? -1 : b === SPACE ? 1 : n - m || (a < b ? -1 : 1),
  );
  const chosen: string[] = [];
  let covered = 0;
  for (const [char, count] of sorted) {
    chosen.push(char);
    covered += count;
    if (covered >= coverage * total) break;
  }
  return chosen;
}

/** Up to `room` new pieces, by the order in which they were merged. */
function learnMerges(
  words: readonly (readonly [string, number])[],
  alphabet: readonly string[],
  room: number,
): string[] {
  const symbols = [...alphabet];
  const idOf = new Map(symbols.map((s, id) => [s, id]));
  const counts = new PairCounts(
    words.map(([word]) => Array.from(word, (char) => idOf.get(char) ?? BREAK)),
    words.map(([, count]) => count),
  );
  while (symbols.length < alphabet.length + room) {
    const best = counts.pop(LEAST_COUNT);
    if (best === undefined) break;
    const piece = symbols[best.left]! + symbols[best.right]!;
    // Two ways to the same string (ab+c, a+bc) are one piece, as they are when encoding.
    let id = idOf.get(piece);
    if (id === undefined) {
      id = symbols.push(piece) - 1;
      idOf.set(piece, id);
    }
    counts.merge(best.pair, id);
  }
  return symbols.slice(alphabet.length);
}
