import { ByteSet, type GrammarSymbol, Rule, type Sequence } from "./byte-grammar.ts";

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
const codes = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

export const charClass = (text: string): ByteSet => new ByteSet(codes(text));
const single = range(0, 255).map((byte) => new ByteSet([byte]));
export const byteSymbol = (byte: number): ByteSet => single[byte]!;

/** The UTF-8 bytes of a text, one after the other. */
export const literal = (text: string): Sequence => [...new TextEncoder().encode(text)].map(byteSymbol);

/** A state of the machine that reads the inside of a string: bytes, and the state after them. */
export type StringState =
  | "text"
  | "escape"
  | `utf8-${"1" | "2" | "3" | "e0" | "ed" | "f0" | "f4"}`
  | `hex-${1 | 2 | 3 | 4}`
  | `control-${1 | 2 | 3 | "0x" | "1x"}`;
export type StringMachine = Readonly<
  Partial<Record<StringState, readonly (readonly [bytes: readonly number[], next: StringState])[]>>
>;

/** Well-formed UTF-8 (Unicode 15, table 3-7) without quote, backslash and control characters. */
const UTF8: StringMachine = {
  text: [
    [range(0x20, 0x7f).filter((byte) => byte !== 0x22 && byte !== 0x5c), "text"],
    [[0x5c], "escape"],
    [range(0xc2, 0xdf), "utf8-1"],
    [[0xe0], "utf8-e0"],
    [[...range(0xe1, 0xec), 0xee, 0xef], "utf8-2"],
    [[0xed], "utf8-ed"],
    [[0xf0], "utf8-f0"],
    [range(0xf1, 0xf3), "utf8-3"],
    [[0xf4], "utf8-f4"],
  ],
  "utf8-1": [[range(0x80, 0xbf), "text"]],
  "utf8-2": [[range(0x80, 0xbf), "utf8-1"]],
  "utf8-3": [[range(0x80, 0xbf), "utf8-2"]],
  "utf8-e0": [[range(0xa0, 0xbf), "utf8-1"]],
  "utf8-ed": [[range(0x80, 0x9f), "utf8-1"]],
  "utf8-f0": [[range(0x90, 0xbf), "utf8-2"]],
  "utf8-f4": [[range(0x80, 0x8f), "utf8-2"]],
};

const HEX = codes("0123456789abcdefABCDEF");

/** The inside of any string that JSON allows. */
const ANY_STRING: StringMachine = {
  ...UTF8,
  escape: [
    [codes('"\\/bfnrt'), "text"],
    [codes("u"), "hex-4"],
  ],
  "hex-4": [[HEX, "hex-3"]],
  "hex-3": [[HEX, "hex-2"]],
  "hex-2": [[HEX, "hex-1"]],
  "hex-1": [[HEX, "text"]],
};

/** The inside of strings as JSON.stringify writes them: one spelling for each, so that keys can be compared by bytes. */
export const ONE_SPELLING: StringMachine = {
  ...UTF8,
  escape: [
    [codes('"\\bfnrt'), "text"],
    [codes("u"), "control-1"],
  ],
  "control-1": [[codes("0"), "control-2"]],
  "control-2": [[codes("0"), "control-3"]],
  "control-3": [
    [codes("0"), "control-0x"],
    [codes("1"), "control-1x"],
  ],
  "control-0x": [[codes("01234567bef"), "text"]],
  "control-1x": [[codes("0123456789abcdef"), "text"]],
};

export const QUOTE = byteSymbol(0x22);

/** Rules that read from each state of a machine to the closing quote. */
function rulesOf(machine: StringMachine): ReadonlyMap<StringState, Rule> {
  const rules = new Map<StringState, Rule>();
  for (const [name, steps] of Object.entries(machine) as [StringState, [number[], StringState][]][]) {
    const ways = steps.map(([bytes, next]) => ({ set: new ByteSet(bytes), next }));
    const inside = () => ways.map(({ set, next }): Sequence => [set, rules.get(next)!]);
    rules.set(name, name === "text" ? new Rule(() => [...inside(), [QUOTE]], true) : new Rule(inside));
  }
  return rules;
}

/** The rest of a key from a state of ONE_SPELLING on, with the closing quote. */
export const keyRest: ReadonlyMap<StringState, GrammarSymbol> = rulesOf(ONE_SPELLING);

/** Any string, with its quotes. */
export const anyString: GrammarSymbol = new Rule(() => [[QUOTE, rulesOfAny.get("text")!]]);
const rulesOfAny = rulesOf(ANY_STRING);
