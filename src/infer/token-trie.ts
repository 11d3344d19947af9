import type { Automaton, Rule, State } from "./byte-grammar.ts";

/** What a shared rule accepts, wherever it is used. */
export interface RuleTokens {
  /** Tokens that the rule reads to their end, as a mask. */
  readonly mask: Uint32Array;
  /** Nodes at which the rule has ended: what follows reads the rest of the tokens below them. */
  readonly ends: readonly number[];
}

/**
 * The byte strings of a vocabulary's tokens as a trie in depth-first order: whoever reads all tokens reads what they
 * begin with in common once. Built once for a tokenizer.
 */
export class TokenTrie {
  /** One more than the highest id. */
  readonly size: number;
  /** What single rules accept: kept here, because it depends on the vocabulary and not on a text. */
  readonly rules = new WeakMap<Rule, RuleTokens>();
  readonly #tokens: readonly (Uint8Array | undefined)[];
  readonly #byte: Uint8Array;
  readonly #depth: Uint16Array;
  /** For each node, the first one after those below it. */
  readonly #after: Uint32Array;
  /** For each node, a token that ends there, and for each token, the next of the same bytes; −1: none. */
  readonly #token: Int32Array;
  readonly #same: Int32Array;

  /** `tokens[id]` are the bytes of a token; absent or empty for what is no text, such as the end: never accepted. */
  constructor(tokens: readonly (Uint8Array | undefined)[]) {
    this.#tokens = tokens;
    this.size = tokens.length;
    const texts = tokens.map((bytes) => (bytes === undefined ? "" : latin1(bytes)));
    const order = [...texts.keys()].filter((id) => texts[id] !== "");
    order.sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b));
    const room = order.reduce((n, id) => n + texts[id]!.length, 1);
    const nodes = {
      byte: new Uint8Array(room),
      depth: new Uint16Array(room),
      after: new Uint32Array(room),
      token: new Int32Array(room).fill(-1),
    };
    this.#same = new Int32Array(tokens.length).fill(-1);
    const path = [0];
    let count = 1;
    let before = "";
    for (const id of order) {
      const text = texts[id]!;
      let common = 0;
      while (common < before.length && text[common] === before[common]) common++;
      for (const node of path.splice(common + 1)) nodes.after[node] = count;
      for (let i = common; i < text.length; i++) {
        nodes.byte[count] = text.charCodeAt(i);
        nodes.depth[count] = i + 1;
        path.push(count++);
      }
      const node = path[text.length]!;
      this.#same[id] = nodes.token[node]!;
      nodes.token[node] = id;
      before = text;
    }
    for (const node of path) nodes.after[node] = count;
    this.#byte = nodes.byte.slice(0, count);
    this.#depth = nodes.depth.slice(0, count);
    this.#after = nodes.after.slice(0, count);
    this.#token = nodes.token.slice(0, count);
  }

  /** The bytes of a token; `undefined` for what is no text. */
  bytesOf(id: number): Uint8Array | undefined {
    return this.#tokens[id];
  }

  /** A mask of no token. */
  emptyMask(): Uint32Array {
    return new Uint32Array((this.size + 31) >> 5);
  }

  /**
   * Reads all tokens below node `from` (0: the whole vocabulary), beginning in `state`, and adds to `mask` those that
   * are allowed. `ends` collects the nodes at which the text may end.
   */
  read(from: number, automaton: Automaton, state: State, mask: Uint32Array, ends?: number[]): void {
    const depth = this.#depth;
    const base = depth[from]!;
    const states: State[] = [state];
    for (let node = from + 1; node < this.#after[from]!; ) {
      const level = depth[node]! - base;
      const next = automaton.step(states[level - 1]!, this.#byte[node]!);
      if (next === null) {
        node = this.#after[node]!;
        continue;
      }
      states[level] = next;
      for (let id = this.#token[node]!; id >= 0; id = this.#same[id]!) mask[id >> 5]! |= 1 << (id & 31);
      if (next.ends) ends?.push(node);
      node++;
    }
  }
}

/** Bytes as a string of the code points 0 to 255, which sorts as they do. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
