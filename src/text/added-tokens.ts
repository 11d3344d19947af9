/** A token that is recognised by its spelling, before any merging (`<|im_end|>`, `<IMG_CONTEXT>`, `<box>`). */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** A marker rather than text: decoding leaves it out unless asked. */
  readonly special: boolean;
  /** Whitespace before or after it belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Recognised only where no letter, digit or underscore is next to it. */
  readonly singleWord: boolean;
  /** Looked for in the normalised text. */
  readonly normalized: boolean;
}

/** A part of a text: an added token, or what lies between two of them, with its place in the text (UTF-16 units). */
export type Part =
  | { readonly token: AddedToken }
  | { readonly token: undefined; readonly start: number; readonly end: number };

/** Ranges [start, end) of a text in which no added token is recognised, ascending. */
export type Ranges = readonly (readonly [start: number, end: number])[];

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  token?: AddedToken;
}

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;
const SPACE = /\p{White_Space}/u;

/**
 * Finds added tokens in a text: the leftmost, the longest of those that begin there. Time is linear in the text, however
 * many tokens there are. The flags act as in huggingface/tokenizers (added_vocabulary.rs) and in the Python tokenizers.
 */
export class AddedTokenFinder {
  readonly #root: TrieNode = { next: new Map() };
  /** Finds a unit with which some token begins. */
  readonly #beginning: RegExp;

  /** `spelling`: how a token is written in the texts that will be searched. */
  constructor(tokens: Iterable<AddedToken>, spelling: (token: AddedToken) => string = (t) => t.content) {
    for (const token of tokens) {
      const text = spelling(token);
      let node = this.#root;
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        let next = node.next.get(unit);
        if (next === undefined) {
          next = { next: new Map() };
          node.next.set(unit, next);
        }
        node = next;
      }
      if (node !== this.#root) node.token ??= token;
    }
    const units = Array.from(this.#root.next.keys(), (unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
    this.#beginning = new RegExp(`[${units.join("")}]`, "g");
  }

  get isEmpty(): boolean {
    return this.#root.next.size === 0;
  }

  /** The parts of a text in order, without empty ones. */
  split(text: string, literal: Ranges = []): Part[] {
    const parts: Part[] = [];
    let start = 0;
    let range = 0;
    for (let at = this.#candidate(text, 0); at < text.length; at = this.#candidate(text, at)) {
      while (range < literal.length && literal[range]![1] <= at) range++;
      const [from, to] = literal[range] ?? [text.length, text.length];
      if (from <= at && from < to) {
        at = to;
        continue;
      }
      const found = this.#longest(text, at, from < to ? from : text.length);
      if (found === undefined) {
        at++;
        continue;
      }
      const { token, end } = found;
      if (
        token.singleWord &&
        (WORD_BEFORE.test(text.slice(Math.max(0, at - 2), at)) || WORD_AFTER.test(text.slice(end, end + 2)))
      ) {
        at = end;
        continue;
      }
      let left = at;
      if (token.lstrip) while (left > start && SPACE.test(text[left - 1]!)) left--;
      if (left > start) parts.push({ token: undefined, start, end: left });
      parts.push({ token });
      at = end;
      if (token.rstrip) while (at < text.length && SPACE.test(text[at]!)) at++;
      start = at;
    }
    if (start < text.length) parts.push({ token: undefined, start, end: text.length });
    return parts;
  }

  /** The next place from `at` on where a token may begin. */
  #candidate(text: string, at: number): number {
    this.#beginning.lastIndex = at;
    return this.#beginning.exec(text)?.index ?? text.length;
  }

  #longest(text: string, at: number, limit: number): { token: AddedToken; end: number } | undefined {
    let node = this.#root.next.get(text.charCodeAt(at));
    let found: { token: AddedToken; end: number } | undefined;
    for (let end = at + 1; node !== undefined; end++) {
      if (node.token !== undefined) found = { token: node.token, end };
      if (end >= limit) break;
      node = node.next.get(text.charCodeAt(end));
    }
    return found;
  }
}
