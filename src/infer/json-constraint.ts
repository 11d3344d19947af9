import { UsageError } from "../core/errors.ts";
import { Automaton, type GrammarSymbol, Rule, type Stack, type State } from "./byte-grammar.ts";
import type { RuleTokens, TokenTrie } from "./token-trie.ts";

/** A place in a constrained text; opaque, and never changed: several texts may go on from one. */
export type ConstraintState = State;

/** Masks are kept for the places that were visited last: the inside of a string is one place. */
const MAX_MASKS = 64;

/**
 * Keeps a model's text within a grammar: which tokens may follow. The text ends with one of `eosIds`, which is allowed
 * wherever the grammar allows the end. Texts of one request may share a constraint, each with states of its own.
 */
export class JsonConstraint {
  readonly #automaton: Automaton;
  readonly #masks = new Map<State, Uint32Array>();
  readonly #eos: ReadonlySet<number>;

  /** Throws a UsageError when an end lies beyond the vocabulary. */
  constructor(
    grammar: GrammarSymbol,
    readonly trie: TokenTrie,
    eosIds: Iterable<number>,
  ) {
    this.#automaton = new Automaton(grammar);
    this.#eos = new Set(eosIds);
    for (const id of this.#eos)
      if (id >= trie.size)
        throw new UsageError(
          `json constraint: expected ends below ${trie.size}, the vocabulary's size, found ${id}`,
        );
  }

  /** Before the first token. */
  get start(): ConstraintState {
    return this.#automaton.start;
  }

  /**
   * The tokens that may follow: bit `id & 31` of word `id >> 5`. Shared between calls: not to be changed. All zeros
   * when the vocabulary lacks the bytes to go on.
   */
  allowed(state: ConstraintState): Uint32Array {
    let mask = this.#masks.get(state);
    if (mask === undefined) {
      mask = this.#maskOf(state);
      if (this.#masks.size >= MAX_MASKS) this.#masks.delete(this.#masks.keys().next().value!);
    } else this.#masks.delete(state);
    this.#masks.set(state, mask); // last in the order of visits
    return mask;
  }

  /** The state after a token. Throws a UsageError when it is not allowed. The end of the text leads nowhere else. */
  advance(state: ConstraintState, id: number): ConstraintState {
    const refused = () => new UsageError(`json constraint: token ${id} is not allowed here`);
    if (this.#eos.has(id)) {
      if (!state.ends) throw refused();
      return state;
    }
    const bytes = this.trie.bytesOf(id);
    if (bytes === undefined || bytes.length === 0) throw refused();
    let at: State | null = state;
    for (const byte of bytes) {
      at = this.#automaton.step(at, byte);
      if (at === null) throw refused();
    }
    return at;
  }

  /** Whether the text is complete and nothing but its end may follow. A number at the top may be complete and go on. */
  isComplete(state: ConstraintState): boolean {
    return state.ends && state.stacks.length === 0;
  }

  #maskOf(state: State): Uint32Array {
    const mask = this.trie.emptyMask();
    const others: Stack[] = [];
    for (const stack of state.stacks) {
      if (!(stack.symbol instanceof Rule) || !stack.symbol.shared) {
        others.push(stack);
        continue;
      }
      const tokens = tokensOf(stack.symbol, this.trie);
      for (const [i, bits] of tokens.mask.entries()) mask[i]! |= bits;
      if (stack.rest === null) continue;
      const rest = this.#automaton.stateOf([stack.rest]);
      for (const node of tokens.ends) this.trie.read(node, this.#automaton, rest, mask);
    }
    if (others.length > 0) this.trie.read(0, this.#automaton, this.#automaton.stateOf(others), mask);
    for (const id of this.#eos)
      if (state.ends) mask[id >> 5]! |= 1 << (id & 31);
      else mask[id >> 5]! &= ~(1 << (id & 31));
    return mask;
  }
}

/** What a shared rule accepts of a vocabulary, found once for both. */
function tokensOf(rule: Rule, trie: TokenTrie): RuleTokens {
  let tokens = trie.rules.get(rule);
  if (tokens === undefined) {
    const automaton = new Automaton(rule);
    const [mask, ends] = [trie.emptyMask(), [] as number[]];
    trie.read(0, automaton, automaton.start, mask, ends);
    tokens = { mask, ends };
    trie.rules.set(rule, tokens);
  }
  return tokens;
}
