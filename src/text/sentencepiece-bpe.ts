import { UsageError } from "../core/errors.ts";
import { BpeMerge, type MergeTable, type Symbols } from "./bpe-merge.ts";
import { bytePieces, type SentencePieceModel, SPACE } from "./sentencepiece-model.ts";
import { PieceStream, type PieceText } from "./stream-decoder.ts";
import { wellFormed } from "./utf8.ts";
import { WordCutter } from "./word-cutter.ts";

const utf8 = new TextEncoder();

/**
 * Words whose ids are kept, and the longest of them in UTF-16 units: V8 copies slices of up to 12, a longer one would
 * keep its whole text in memory.
 */
const KEPT_WORDS = 20_000;
const KEPT_LENGTH = 12;

/**
 * SentencePiece's BPE: text to ids and back, the same ids as google/sentencepiece (bpe_model.cc, version 0.2) for models
 * with the identity normaliser. Neighbouring symbols are merged while their concatenation is a piece: the highest score
 * first, the leftmost among equal scores. Time O(n log n) in the text's length; the ids of short words are kept.
 *
 * Control pieces (`<s>`, …) are never recognised inside a text here: see `sentencePieceTokenizer`.
 */
export class SentencePieceBpe {
  /** Normal, user-defined and unused pieces: what merging may produce. */
  readonly #pieces = new Map<string, number>();
  /** Unknown, control and byte pieces. */
  readonly #reserved = new Map<string, number>();
  /** First UTF-16 unit -> user-defined pieces that begin with it, longest first. */
  readonly #userDefined = new Map<number, string[]>();
  readonly #table: MergeTable;
  readonly #bytes: Int32Array;
  readonly #unk: number;
  /** Cuts a text into words that can be merged one by one; undefined when only the whole can be. */
  readonly #cut: WordCutter | undefined;
  readonly #words = new Map<string, readonly number[]>();

  constructor(readonly model: SentencePieceModel) {
    const { pieces } = model;
    const unused = new Set<number>();
    for (const [id, { piece, type }] of pieces.entries()) {
      const mergeable = type === "normal" || type === "user_defined" || type === "unused";
      (mergeable ? this.#pieces : this.#reserved).set(piece, id);
      if (type === "unused") unused.add(id);
      if (type !== "user_defined") continue;
      const list = this.#userDefined.get(piece.charCodeAt(0)) ?? [];
      list.push(piece);
      this.#userDefined.set(piece.charCodeAt(0), list);
    }
    for (const list of this.#userDefined.values()) list.sort((a, b) => b.length - a.length);
    const scores = [...new Set(pieces.map((p) => p.score))].sort((a, b) => b - a);
    const rankOf = new Map(scores.map((score, rank) => [score, rank]));
    const longest = pieces.reduce((n, p) => Math.max(n, p.piece.length), 0);
    this.#table = {
      lookup: (text, start, _, end) =>
        end - start > longest ? -1 : (this.#pieces.get(text.slice(start, end)) ?? -1),
      rank: Uint32Array.from(pieces, (p) => rankOf.get(p.score)!),
      unused,
    };
    this.#bytes = bytePieces(pieces);
    this.#unk = pieces.findIndex((p) => p.type === "unknown");
    // What an unused piece is split into depends on the whole text.
    this.#cut = unused.size === 0 ? new WordCutter(this.#pieces.keys()) : undefined;
  }

  /** The id of a piece, whatever its type; undefined when there is none. */
  idOf(piece: string): number | undefined {
    return this.#reserved.get(piece) ?? this.#pieces.get(piece);
  }

  /**
   * The ids of a text, without BOS and EOS. Lone surrogates count as U+FFFD. `dummyPrefix: false` leaves out the space
   * that the model puts before a text.
   */
  encode(text: string, { dummyPrefix = true }: { readonly dummyPrefix?: boolean } = {}): number[] {
    const normalized = this.#normalize(text, dummyPrefix);
    if (this.#cut === undefined) return this.#merge(normalized);
    const ids: number[] = [];
    for (const part of this.#cut.words(normalized)) {
      const word = this.#encodeWord(part);
      // A run of unknown characters is one unknown piece, across words too.
      const joined = !this.model.byteFallback && word[0] === this.#unk && ids.at(-1) === this.#unk;
      for (let i = joined ? 1 : 0; i < word.length; i++) ids.push(word[i]!);
    }
    return ids;
  }

  #encodeWord(word: string): readonly number[] {
    const kept = this.#words.get(word);
    if (kept !== undefined) return kept;
    const ids = this.#merge(word);
    if (word.length > KEPT_LENGTH) return ids;
    if (this.#words.size >= KEPT_WORDS) this.#words.clear();
    this.#words.set(word, ids);
    return ids;
  }

  #merge(text: string): number[] {
    const merge = new BpeMerge(text, this.#symbols(text), this.#table);
    const ids: number[] = [];
    merge.run((piece, id) => this.#emit(ids, piece, id, merge.splits));
    return ids;
  }

  /** The text of ids. Control pieces vanish; bytes that are not UTF-8 become U+FFFD. Throws UsageError for an unknown id. */
  decode(ids: ArrayLike<number>): string {
    const stream = this.stream();
    const parts: string[] = [];
    for (let i = 0; i < ids.length; i++) parts.push(stream.token(ids[i]!));
    return parts.join("") + stream.end();
  }

  /** Decodes ids one by one. `afterAdded`: encoding puts the model's dummy space after an added token too. */
  stream({ afterAdded = true }: { readonly afterAdded?: boolean } = {}): PieceStream {
    const { addDummyPrefix, removeExtraWhitespaces } = this.model;
    // A model that removes extra whitespace has no leading space at all, any other lost exactly one.
    const leadingSpace = removeExtraWhitespaces ? "drop-all" : addDummyPrefix ? "drop-one" : "keep";
    return new PieceStream((id) => this.#textOf(id), { leadingSpace, afterAdded });
  }

  #textOf(id: number): PieceText {
    const { pieces, unkSurface } = this.model;
    const entry = pieces[id];
    if (entry === undefined)
      throw new UsageError(`decode: id ${id} is outside the vocabulary of ${pieces.length} pieces`);
    if (entry.type === "byte") return Number.parseInt(entry.piece.slice(3, 5), 16);
    if (entry.type === "control") return "";
    return entry.type === "unknown" ? unkSurface : entry.piece;
  }

  #normalize(text: string, dummyPrefix: boolean): string {
    const { removeExtraWhitespaces, addDummyPrefix } = this.model;
    let t = wellFormed(text);
    if (removeExtraWhitespaces) t = t.replace(/ {2,}/g, " ").replace(/^ /, "");
    if (t === "") return "";
    t = (addDummyPrefix && dummyPrefix ? SPACE : "") + t.replaceAll(" ", SPACE);
    let end = t.length;
    if (removeExtraWhitespaces) while (end > 0 && t[end - 1] === SPACE) end--;
    return t.slice(0, end);
  }

  /** One code point each, or a whole user-defined piece, which then never merges. */
  #symbols(text: string): Symbols {
    const starts = new Int32Array(text.length + 1);
    const frozen = new Uint8Array(text.length);
    let count = 0;
    for (let at = 0; at < text.length; count++) {
      starts[count] = at;
      const match = this.#userDefined.get(text.charCodeAt(at))?.find((piece) => text.startsWith(piece, at));
      if (match !== undefined) frozen[count] = 1;
      at += match?.length ?? (text.codePointAt(at)! > 0xffff ? 2 : 1);
    }
    starts[count] = text.length;
    return { starts, count, frozen };
  }

  #emit(ids: number[], piece: string, merged: number, splits: ReadonlyMap<string, number>): void {
    const found = merged >= 0 ? merged : (this.#pieces.get(piece) ?? this.#unk);
    const unused = this.#table.unused.has(found);
    const split = unused ? splits.get(piece) : undefined;
    if (split !== undefined) {
      for (const part of [piece.slice(0, split), piece.slice(split)]) this.#emit(ids, part, -1, splits);
      return;
    }
    const id = unused ? this.#unk : found;
    if (id !== this.#unk) ids.push(id);
    else if (this.model.byteFallback) for (const byte of utf8.encode(piece)) ids.push(this.#bytes[byte]!);
    else if (ids.at(-1) !== id) ids.push(id); // a run of unknown characters is one unknown piece
  }
}
