import { ByteSet, type GrammarSymbol, Rule, type Sequence } from "./byte-grammar.ts";
import {
  anyString,
  byteSymbol,
  charClass,
  keyRest,
  literal,
  ONE_SPELLING,
  QUOTE,
  type StringState,
} from "./json-strings.ts";

/** Where a text may be set apart: so many spaces at most after a line's end. */
const MAX_INDENT = 32;
/** Digits of a number: those that JSON.stringify writes (21 before the point, 6 zeros and 17 after it) suffice. */
const MAX_INTEGER_DIGITS = 21;
const MAX_FRACTION_DIGITS = 25;

const digit = charClass("0123456789");
const digit19 = charClass("123456789");
const [space, newline, comma] = [literal(" ")[0]!, literal("\n")[0]!, literal(",")[0]!];

/** Up to `n` of a symbol. */
function upTo(n: number, symbol: GrammarSymbol): Rule {
  let rule = new Rule(() => [[]]);
  for (let i = 0; i < n; i++) {
    const shorter = rule;
    rule = new Rule(() => [[], [symbol, shorter]]);
  }
  return rule;
}

const oneOf = (...alternatives: Sequence[]): Rule => new Rule(() => alternatives);
const optional = (...sequence: Sequence): Rule => oneOf([], sequence);

/** Nothing, a space, or a new line with its indentation: a model cannot go on with blanks for ever. */
const blank = oneOf([], [space], [newline, upTo(MAX_INDENT, space)]);
const colon: Sequence = [byteSymbol(0x3a), optional(space)];

const integerDigits = oneOf(literal("0"), [digit19, upTo(MAX_INTEGER_DIGITS - 1, digit)]);
const fraction = optional(byteSymbol(0x2e), digit, upTo(MAX_FRACTION_DIGITS - 1, digit));
const below400 = [[digit], [digit19, digit], [charClass("123"), digit, digit]] as const;
const below308 = [
  [digit],
  [digit19, digit],
  [charClass("12"), digit, digit],
  [...literal("30"), charClass("01234567")],
] as const;
const minus = optional(byteSymbol(0x2d));

export const integer: GrammarSymbol = oneOf([minus, integerDigits]);
/** With an exponent, one digit before the point and an exponent below 308: no number is too large for a double. */
export const number: GrammarSymbol = oneOf(
  [minus, integerDigits, fraction],
  [
    ...[minus, digit, fraction, charClass("eE")],
    oneOf([optional(byteSymbol(0x2b)), oneOf(...below308)], [byteSymbol(0x2d), oneOf(...below400)]),
  ],
);

/** An object's members. Other keys than those of `properties` are allowed where `others` is given. */
export interface ObjectShape {
  readonly properties: ReadonlyMap<string, GrammarSymbol>;
  readonly required: ReadonlySet<string>;
  readonly others: GrammarSymbol | undefined;
}

/** Objects with their members in any order, each key of `properties` at most once. */
export function objectOf(shape: ObjectShape): GrammarSymbol {
  return new Rule(() => new ObjectRules(shape).alternatives());
}

/** Arrays of `min` to `max` items. */
export function arrayOf(item: GrammarSymbol, min: number, max: number): GrammarSymbol {
  const close: Sequence = [blank, byteSymbol(0x5d)];
  const counted = new Map<number, Rule>();
  // Above the minimum of an array without maximum, all counts are alike.
  const rest = (count: number): Rule => {
    const known = max === Infinity ? Math.min(count, Math.max(min, 1)) : count;
    let rule = counted.get(known);
    if (rule === undefined) {
      rule = new Rule(() => [
        ...(known >= min ? [close] : []),
        ...(known < max ? [[comma, blank, item, rest(known + 1)]] : []),
      ]);
      counted.set(known, rule);
    }
    return rule;
  };
  const first = new Rule(() => [...(min === 0 ? [close] : []), ...(max > 0 ? [[blank, item, rest(1)]] : [])]);
  return new Rule(() => [[byteSymbol(0x5b), first]]);
}

/** Exactly this value, in any of the spellings of its blanks; strings and numbers as JSON.stringify writes them. */
export function constant(value: unknown): GrammarSymbol {
  if (Array.isArray(value)) {
    const items = value.flatMap((v, i) => [...(i > 0 ? [comma] : []), blank, constant(v)]);
    return oneOf([byteSymbol(0x5b), ...items, blank, byteSymbol(0x5d)]);
  }
  if (typeof value === "object" && value !== null)
    return objectOf({
      properties: new Map(Object.entries(value).map(([key, v]) => [key, constant(v)])),
      required: new Set(Object.keys(value)),
      others: undefined,
    });
  return oneOf(literal(JSON.stringify(value)));
}

export const boolean: GrammarSymbol = oneOf(literal("true"), literal("false"));
export const nothing: GrammarSymbol = oneOf(literal("null"));

/** Any JSON value. */
export const anyValue: GrammarSymbol = new Rule(() =>
  [anyObject, arrayOf(anyValue, 0, Infinity), anyString, number, boolean, nothing].map((s) => [s]),
);
/** Any object. */
export const anyObject: GrammarSymbol = objectOf({
  properties: new Map(),
  required: new Set(),
  others: anyValue,
});
export { anyString };

/** A node of the trie of an object's keys, spelled as JSON.stringify does. */
interface KeyNode {
  readonly name: string;
  /** How far the string has been read. */
  readonly state: StringState;
  readonly children: Map<number, KeyNode>;
  /** The key that ends here; −1: none. */
  property: number;
  /** Bits of the keys that end here or below. */
  below: bigint;
}

/** The rules of one object: which members may follow depends on those that were given. */
class ObjectRules {
  readonly #values: readonly GrammarSymbol[];
  readonly #required: bigint;
  readonly #others: GrammarSymbol | undefined;
  readonly #root: KeyNode = newNode("", "text");
  readonly #known = new Map<string, Rule>();

  constructor({ properties, required, others }: ObjectShape) {
    const names = [...properties.keys()];
    this.#values = [...properties.values()];
    this.#required = names.reduce((bits, name, i) => (required.has(name) ? bits | bit(i) : bits), 0n);
    this.#others = others;
    for (const [i, name] of names.entries()) this.#insert(name, i);
  }

  alternatives(): readonly Sequence[] {
    const first = new Rule(() => this.#continue(0n, []));
    return [[byteSymbol(0x7b), first]];
  }

  /** What follows when the keys `seen` were given: the end, or `separator` and another member. */
  #continue(seen: bigint, separator: Sequence): readonly Sequence[] {
    const more = this.#others !== undefined || (this.#root.below & ~seen) !== 0n;
    return [
      ...((this.#required & ~seen) === 0n ? [[blank, byteSymbol(0x7d)]] : []),
      ...(more ? [[...separator, blank, QUOTE, this.#key(seen, this.#root)]] : []),
    ];
  }

  #rest(seen: bigint): Rule {
    return this.#rule(`rest ${seen}`, () => this.#continue(seen, [comma]));
  }

  /** The rest of a key that has been read up to `node`, its value, and what follows. */
  #key(seen: bigint, node: KeyNode): Rule {
    const others = this.#others;
    return this.#rule(
      `key ${seen} ${node.name}`,
      () => {
        const ways: Sequence[] = [];
        for (const [byte, child] of node.children)
          if (others !== undefined || (child.below & ~seen) !== 0n)
            ways.push([byteSymbol(byte), this.#key(seen, child)]);
        if (node.property >= 0) {
          const now = bit(node.property);
          if ((seen & now) === 0n)
            ways.push([QUOTE, ...colon, this.#values[node.property]!, this.#rest(seen | now)]);
        } else if (others !== undefined && node.state === "text")
          ways.push([QUOTE, ...colon, others, this.#rest(seen)]);
        if (others !== undefined)
          for (const [bytes, next] of ONE_SPELLING[node.state]!) {
            const apart = bytes.filter((byte) => !node.children.has(byte));
            if (apart.length > 0)
              ways.push([new ByteSet(apart), keyRest.get(next)!, ...colon, others, this.#rest(seen)]);
          }
        return ways;
      },
      others !== undefined && node.state === "text",
    );
  }

  #rule(name: string, make: () => readonly Sequence[], shared = false): Rule {
    let rule = this.#known.get(name);
    if (rule === undefined) {
      rule = new Rule(make, shared);
      this.#known.set(name, rule);
    }
    return rule;
  }

  #insert(name: string, index: number): void {
    let node = this.#root;
    node.below |= bit(index);
    for (const byte of new TextEncoder().encode(JSON.stringify(name).slice(1, -1))) {
      let child = node.children.get(byte);
      if (child === undefined) {
        const state = ONE_SPELLING[node.state]!.find(([bytes]) => bytes.includes(byte))![1];
        child = newNode(`${node.name}.${byte}`, state);
        node.children.set(byte, child);
      }
      node = child;
      node.below |= bit(index);
    }
    node.property = index;
  }
}

const bit = (index: number): bigint => 1n << BigInt(index);
const newNode = (name: string, state: StringState): KeyNode => ({
  ...{ name, state, children: new Map<number, KeyNode>() },
  ...{ property: -1, below: 0n },
});
