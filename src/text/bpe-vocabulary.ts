import { CheckpointError } from "../core/errors.ts";
import { BpeMerge, type MergeTable } from "./bpe-merge.ts";
import { bytePiece } from "./sentencepiece-model.ts";

/** Words whose ids are kept, and the longest of them in UTF-16 units. */
const KEPT_WORDS = 20_000;
const KEPT_LENGTH = 32;

const utf8 = new TextEncoder();

export interface BpeOptions {
  /** A word that is a token as a whole is that token, whatever the merges say (`ignore_merges`: Llama-3, gpt-oss). */
  readonly ignoreMerges?: boolean;
  /** Characters outside the vocabulary become tokens of their bytes (`<0x0A>`), where these exist. */
  readonly byteFallback?: boolean;
  /** What any other character becomes, and whether several in a row become one. */
  readonly unk?: string | undefined;
  readonly fuseUnk?: boolean;
}

/**
 * Byte-pair encoding by a list of merges, the `BPE` of huggingface/tokenizers (models/bpe/model.rs): of all neighbours
 * that are in the list the earliest entry merges first, the leftmost among equals. Time O(n log n) in a word's length;
 * the ids of short words are kept.
 */
export class BpeVocabulary {
  /** id -> token. */
  readonly tokens: (string | undefined)[] = [];
  readonly #ids = new Map<string, number>();
  /** id -> the first merge that makes it, -1 for none; further ones are in `#others`. */
  readonly #merges: Int32Array;
  readonly #others = new Map<number, number[]>();
  /** Merge -> length of its left half; id of its result. */
  readonly #left: Uint32Array;
  readonly #result: Uint32Array;
  readonly #table: MergeTable;
  readonly #words = new Map<string, readonly number[]>();
  readonly #unk: number | undefined;

  /**
   * `vocab`: token and id, no id twice. `merges`: in order, the two halves with a space between them, or as a pair.
   * Throws CheckpointError for what does not fit together; `where` begins the message.
   */
  constructor(
    vocab: Iterable<readonly [token: string, id: number]>,
    merges: readonly (string | readonly string[])[],
    readonly options: BpeOptions,
    where: string,
  ) {
    const wrong = (problem: string) =>
      new CheckpointError(`${where}: not a usable BPE vocabulary: ${problem}`);
    for (const [token, id] of vocab) {
      const other = this.tokens[id];
      if (other !== undefined)
        throw wrong(`${JSON.stringify(other)} and ${JSON.stringify(token)} have the same id ${id}`);
      this.tokens[id] = token;
      this.#ids.set(token, id);
    }
    this.#merges = new Int32Array(this.tokens.length).fill(-1);
    this.#left = new Uint32Array(merges.length);
    this.#result = new Uint32Array(merges.length);
    let longest = 0;
    for (let i = 0; i < merges.length; i++) {
      const merge = merges[i]!;
      const [left, right, ...more] = typeof merge === "string" ? merge.split(" ") : merge;
      if (!left || !right || more.length > 0)
        throw wrong(`merge ${i} is ${JSON.stringify(merge)}, expected two tokens`);
      const id = this.#ids.get(left + right);
      if (id === undefined)
        throw wrong(`merge ${i} makes ${JSON.stringify(left + right)}, which is not in it`);
      this.#left[i] = left.length;
      this.#result[i] = id;
      longest = Math.max(longest, left.length + right.length);
      if (this.#merges[id]! < 0) this.#merges[id] = i;
      else this.#others.set(id, [...(this.#others.get(id) ?? []), i]);
    }
    this.#table = {
      lookup: (text, start, middle, end) =>
        end - start > longest ? -1 : this.#mergeOf(text.slice(start, end), middle - start),
      rank: Uint32Array.from(merges.keys()),
      unused: new Set(),
    };
    this.#unk = options.unk === undefined ? undefined : this.#ids.get(options.unk);
    if (options.unk !== undefined && this.#unk === undefined)
      throw wrong(`its unk_token ${JSON.stringify(options.unk)} is not in it`);
  }

  get size(): number {
    return this.tokens.length;
  }

  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  /**
   * The ids of a word; `spell` gives its characters in the vocabulary's alphabet. A character that is not in it is left
   * out when there is no unknown token, as in the reference: SmolLM2 lacks some control characters, Qwen none.
   */
  encode(word: string, spell: (word: string) => string = (w) => w): readonly number[] {
    const kept = this.#words.get(word);
    if (kept !== undefined) return kept;
    const ids = this.#merge(spell(word));
    if (word.length > KEPT_LENGTH) return ids;
    if (this.#words.size >= KEPT_WORDS) this.#words.clear();
    // A copy, or a word of a few letters would keep the text that it is a slice of in memory.
    this.#words.set(word.length > 12 ? Array.from(word).join("") : word, ids);
    return ids;
  }

  #mergeOf(joined: string, left: number): number {
    const id = this.#ids.get(joined);
    if (id === undefined) return -1;
    const merge = this.#merges[id]!;
    if (merge < 0 || this.#left[merge] === left) return merge;
    return this.#others.get(id)?.find((other) => this.#left[other] === left) ?? -1;
  }

  #merge(spelled: string): number[] {
    const text = this.#known(spelled);
    const whole = this.#ids.get(text);
    if (whole !== undefined && (this.options.ignoreMerges === true || text.length === 1)) return [whole];
    const starts = new Int32Array(text.length + 1);
    let count = 0;
    for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) starts[count++] = at;
    starts[count] = text.length;
    const ids: number[] = [];
    new BpeMerge(text, { starts, count, frozen: new Uint8Array(count) }, this.#table).run((piece, merge) => {
      const id = merge >= 0 ? this.#result[merge] : this.#ids.get(piece);
      if (id !== undefined) ids.push(id);
      else this.#unknown(ids, piece);
    });
    return ids;
  }

  /** A text without what can become no token: what stands around it may merge. */
  #known(text: string): string {
    if (this.#unk !== undefined || this.options.byteFallback) return text;
    for (const character of text)
      if (!this.#ids.has(character))
        return Array.from(text)
          .filter((c) => this.#ids.has(c))
          .join("");
    return text;
  }

  #unknown(ids: number[], character: string): void {
    const { byteFallback, fuseUnk } = this.options;
    if (byteFallback) {
      const bytes = Array.from(utf8.encode(character), (byte) => this.#ids.get(bytePiece(byte)));
      if (bytes.every((id) => id !== undefined)) {
        ids.push(...bytes);
        return;
      }
    }
    if (this.#unk !== undefined && !(fuseUnk && ids.at(-1) === this.#unk)) ids.push(this.#unk);
  }
}
