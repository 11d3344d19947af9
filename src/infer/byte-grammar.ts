/**
 * Context-free grammars over bytes, and the push-down automaton that reads them. Rules make their alternatives when
 * they are first needed, so a grammar may have far more rules than any text uses.
 */

/** One byte out of a set. */
export class ByteSet {
  /** 1 for each member. */
  readonly has = new Uint8Array(256);

  constructor(bytes: Iterable<number>) {
    for (const byte of bytes) this.has[byte] = 1;
  }
}

/** One of several sequences of symbols. A rule must not begin with itself, whatever lies between. */
export class Rule {
  readonly #make: () => readonly Sequence[];
  #alternatives: readonly Sequence[] | undefined;

  /**
   * `shared`: this rule accepts so many tokens that which ones are better found once for the rule than for each place
   * where it is used. A shared rule must not accept the empty text.
   */
  constructor(
    make: () => readonly Sequence[],
    readonly shared = false,
  ) {
    this.#make = make;
  }

  get alternatives(): readonly Sequence[] {
    this.#alternatives ??= this.#make();
    return this.#alternatives;
  }
}

export type GrammarSymbol = ByteSet | Rule;
export type Sequence = readonly GrammarSymbol[];

/** What is still to come on one way of reading the text: a symbol, then the rest; `null` is the end of the text. */
export interface Stack {
  readonly id: number;
  readonly symbol: GrammarSymbol;
  readonly rest: Stack | null;
  /** Stacks that have one symbol more, so that equal stacks are one object. */
  readonly pushed: Map<GrammarSymbol, Stack>;
  opened: Opened | undefined;
}

/** A stack's first bytes: each with what follows, and whether the text may end here. */
interface Opened {
  readonly heads: readonly { readonly bytes: ByteSet; readonly rest: Stack | null }[];
  readonly ends: boolean;
}

/** All ways in which a text can be read so far. Equal states of an automaton are one object. */
export interface State {
  readonly stacks: readonly Stack[];
  /** Whether the text may end here. */
  readonly ends: boolean;
  /** The states after each byte as far as they are known; `null`: the byte is not allowed. */
  readonly next: (State | null | undefined)[];
}

/** Reads texts byte by byte. Keeps the states it has met: make one for a grammar, and drop it with the last text. */
export class Automaton {
  readonly start: State;
  readonly #bottom = new Map<GrammarSymbol, Stack>();
  readonly #states = new Map<string, State>();
  #stacks = 0;

  constructor(grammar: GrammarSymbol) {
    this.start = this.stateOf([this.#push(grammar, null)]);
  }

  /** The state after `byte`; `null` where it is not allowed. */
  step(state: State, byte: number): State | null {
    const known = state.next[byte];
    if (known !== undefined) return known;
    const found = new Set<Stack | null>();
    for (const stack of state.stacks)
      for (const { bytes, rest } of this.#open(stack).heads) if (bytes.has[byte] === 1) found.add(rest);
    const next = found.size === 0 ? null : this.#stateOf(found);
    state.next[byte] = next;
    return next;
  }

  /** The state in which each of `stacks` is a way to go on. */
  stateOf(stacks: Iterable<Stack>): State {
    return this.#stateOf(new Set(stacks));
  }

  #stateOf(found: ReadonlySet<Stack | null>): State {
    const stacks = [...found].filter((s) => s !== null).sort((a, b) => a.id - b.id);
    const key = `${found.has(null) ? "." : ""}${stacks.map((s) => s.id).join(",")}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      const ends = found.has(null) || stacks.some((s) => this.#open(s).ends);
      state = { stacks, ends, next: new Array(256) };
      this.#states.set(key, state);
    }
    return state;
  }

  #push(symbol: GrammarSymbol, rest: Stack | null): Stack {
    const pushed = rest?.pushed ?? this.#bottom;
    let stack = pushed.get(symbol);
    if (stack === undefined) {
      stack = { id: this.#stacks++, symbol, rest, pushed: new Map(), opened: undefined };
      pushed.set(symbol, stack);
    }
    return stack;
  }

  #open(stack: Stack): Opened {
    stack.opened ??= this.#openAnew(stack);
    return stack.opened;
  }

  #openAnew({ symbol, rest }: Stack): Opened {
    if (symbol instanceof ByteSet) return { heads: [{ bytes: symbol, rest }], ends: false };
    const parts = symbol.alternatives.map((sequence) => {
      const stack = sequence.reduceRight<Stack | null>((after, s) => this.#push(s, after), rest);
      return stack === null ? { heads: [], ends: true } : this.#open(stack);
    });
    return { heads: parts.flatMap((p) => p.heads), ends: parts.some((p) => p.ends) };
  }
}
