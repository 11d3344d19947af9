import { nextTask } from "../core/next-task.ts";
import type { Automaton, Rule, State } from "./byte-grammar.ts";

/** What a shared rule accepts, wherever it is used. */
export interface RuleTokens {
  /** Tokens that the rule reads to their end, as a mask. */
  readonly mask: Uint32Array;
  /** Nodes at which the rule has ended: what follows reads the rest of the tokens below them. */
  readonly ends: readonly number[];
}

interface Nodes {
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  /** For each node, the first one after those below it. */
  readonly after: Uint32Array;
  /** For each node, a token that ends there, and for each token, the next of the same bytes; −1: none. */
  readonly token: Int32Array;
  readonly same: Int32Array;
}

/** Tokens that are looked at before other work may have the thread. */
const PIECE = 8192;

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
  readonly #byte: Nodes["byte"];
  readonly #depth: Nodes["depth"];
  readonly #after: Nodes["after"];
  readonly #token: Nodes["token"];
  readonly #same: Nodes["same"];

  private constructor(tokens: readonly (Uint8Array | undefined)[], nodes: Nodes) {
    this.#tokens = tokens;
    this.size = tokens.length;
    this.#byte = nodes.byte;
    this.#depth = nodes.depth;
    this.#after = nodes.after;
    this.#token = nodes.token;
    this.#same = nodes.same;
  }

  /**
   * The trie of `size` tokens. `bytesOf(id)` are the bytes of a token; absent or empty for what is no text, such as the
   * end: never accepted. Takes a second for a large vocabulary, in pieces between which other work is done.
   */
  static async build(
    size: number,
    bytesOf: (id: number) => Uint8Array | undefined,
    pause: () => Promise<void> = nextTask,
  ): Promise<TokenTrie> {
    const tokens: (Uint8Array | undefined)[] = [];
    const texts: string[] = [];
    /** Ids by the first two bytes of their texts, which sorts most of them: few have a lone byte. */
    const byStart = new Map<number, number[]>();
    for (let id = 0; id < size; id++) {
      if (id % PIECE === PIECE - 1) await pause();
      const bytes = bytesOf(id);
      tokens.push(bytes);
      texts.push(bytes === undefined ? "" : latin1(bytes));
      if (bytes === undefined || bytes.length === 0) continue;
      const start = bytes[0]! * 257 + (bytes.length > 1 ? bytes[1]! + 1 : 0);
      if (!byStart.has(start)) byStart.set(start, []);
      byStart.get(start)!.push(id);
    }
    const order: number[] = [];
    let sorted = 0;
    for (const start of [...byStart.keys()].sort((a, b) => a - b)) {
      const ids = byStart.get(start)!;
      ids.sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b));
      for (const id of ids) order.push(id);
      sorted += ids.length;
      if (sorted < PIECE) continue;
      await pause();
      sorted = 0;
    }
    return new TokenTrie(tokens, await nodesOf(texts, order, pause));
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

/** Sorted texts as nodes in depth-first order. */
async function nodesOf(
  texts: readonly string[],
  order: readonly number[],
  pause: () => Promise<void>,
): Promise<Nodes> {
  const room = order.reduce((n, id) => n + texts[id]!.length, 1);
  const byte = new Uint8Array(room);
  const depth = new Uint16Array(room);
  const after = new Uint32Array(room);
  const token = new Int32Array(room).fill(-1);
  const same = new Int32Array(texts.length).fill(-1);
  const path = [0];
  let count = 1;
  let before = "";
  for (const [i, id] of order.entries()) {
    if (i % PIECE === PIECE - 1) await pause();
    const text = texts[id]!;
    let common = 0;
    while (common < before.length && text[common] === before[common]) common++;
    for (const node of path.splice(common + 1)) after[node] = count;
    for (let at = common; at < text.length; at++) {
      byte[count] = text.charCodeAt(at);
      depth[count] = at + 1;
      path.push(count++);
    }
    const node = path[text.length]!;
    same[id] = token[node]!;
    token[node] = id;
    before = text;
  }
  for (const node of path) after[node] = count;
  const used = <T extends { slice(start: number, end: number): T }>(array: T) => array.slice(0, count);
  return { byte: used(byte), depth: used(depth), after: used(after), token: used(token), same };
}
