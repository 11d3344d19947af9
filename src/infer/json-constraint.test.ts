import { describe, expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { Automaton, type GrammarSymbol, type State } from "./byte-grammar.ts";
import { type ConstraintState, JsonConstraint } from "./json-constraint.ts";
import { jsonObjectGrammar, jsonSchemaGrammar } from "./json-schema.ts";
import { isValid, KEYS, randomSchema, type Schema } from "./json-values.fixture.ts";
import { TokenTrie } from "./token-trie.ts";

const PIECES = [
  ...[
    '{"',
    '":',
    '": ',
    '", "',
    '","',
    '"}',
    '"]',
    "}]",
    "]}",
    "}}",
    ", ",
    "{}",
    "[]",
    '""',
    '":"',
    '": "',
    "\n  ",
    '{\n "',
  ],
  ...[
    "ab",
    "abc",
    '"ab"',
    '"ab":',
    '"x": 1, "',
    "true",
    "false",
    "nul",
    "null",
    "null}",
    "12",
    "0.5",
    "e-7",
    "-1",
  ],
  ...[
    "é",
    "猫",
    "😀",
    "a猫",
    'é"',
    "\\n",
    '\\"',
    "\\u00",
    "\\\\",
    "\\ud83d\\ude00",
    "hello",
    " world",
    ' "',
    "k\\",
  ],
];
const END = 300;
/** All bytes, what a tokenizer joins, halves of characters, two tokens of the same bytes, and the end. */
const VOCABULARY: (Uint8Array | undefined)[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...PIECES.slice(0, 36).map((piece) => new TextEncoder().encode(piece)),
  ...[
    [0xe7, 0x8c],
    [0xac, 0x22],
    [0xf0, 0x9f],
    [0x98, 0x80, 0x22, 0x2c],
    [0x61, 0xc3],
    [0x7b, 0x22],
  ].map((b) => Uint8Array.from(b)),
  undefined,
  new Uint8Array(0),
  new TextEncoder().encode("</s>"), // 300: the end, whatever its bytes
  ...PIECES.slice(36).map((piece) => new TextEncoder().encode(piece)),
];
const trie = await TokenTrie.build(VOCABULARY.length, (id) => VOCABULARY[id]);
const has = (mask: Uint32Array, id: number) => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1;
const idsOf = (mask: Uint32Array) => VOCABULARY.flatMap((_, id) => (has(mask, id) ? [id] : []));
const byte = (c: string) => c.charCodeAt(0);

/** What each token alone would be told: reads its bytes one by one. */
function allowedPlainly(automaton: Automaton, state: State): number[] {
  return VOCABULARY.flatMap((bytes, id) => {
    if (id === END) return state.ends ? [id] : [];
    if (bytes === undefined || bytes.length === 0) return [];
    let at: State | null = state;
    for (const b of bytes) at = at === null ? null : automaton.step(at, b);
    return at === null ? [] : [id];
  });
}

/** Bytes that bring a text nearer to its end, the best first. */
const ENDING = [END, byte("}"), byte("]"), byte('"'), byte("0")];

/** Tokens that go for the end of a text: inside of strings a name that may be required, outside what closes. */
function towardsEnd(constraint: JsonConstraint, state: ConstraintState, rng: Rng): number[] {
  const mask = constraint.allowed(state);
  if (!has(mask, byte("z"))) {
    const wanted = ENDING.find((id) => has(mask, id));
    return wanted === undefined ? [] : [wanted];
  }
  const name = [...KEYS, "v"][rng.int(KEYS.length + 1)]!;
  const ids = [...new TextEncoder().encode(`${JSON.stringify(name).slice(1)}`)];
  try {
    ids.reduce((at, id) => constraint.advance(at, id), state);
    return ids;
  } catch {
    return has(mask, byte('"')) ? [byte('"')] : [];
  }
}

/** Writes a text of random allowed tokens, which after `patience` tokens goes for its end. */
function write(grammar: GrammarSymbol, rng: Rng, patience: number, check = false): string {
  const constraint = new JsonConstraint(grammar, trie, [END]);
  const automaton = new Automaton(grammar);
  let state: ConstraintState = constraint.start;
  let plain: State = automaton.start;
  const bytes: number[] = [];
  const planned: number[] = [];
  for (let step = 0; step < 2000; step++) {
    const ids = idsOf(constraint.allowed(state));
    if (check) expect(ids).toEqual(allowedPlainly(automaton, plain));
    expect(ids.length).toBeGreaterThan(0);
    if (constraint.isComplete(state)) expect(ids).toEqual([END]);
    if (step >= patience && planned.length === 0) planned.push(...towardsEnd(constraint, state, rng));
    const id = planned.shift() ?? ids[rng.int(ids.length)]!;
    expect(ids).toContain(id);
    if (id === END) return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    bytes.push(...VOCABULARY[id]!);
    for (const b of VOCABULARY[id]!) plain = automaton.step(plain, b)!;
    state = constraint.advance(state, id);
  }
  return expect.fail(`no end: ${new TextDecoder().decode(Uint8Array.from(bytes)).slice(0, 500)}`);
}

describe("JsonConstraint", () => {
  test("whatever allowed tokens are chosen, the text parses and is valid", () => {
    let longest = 0;
    for (let seed = 0; seed < 45; seed++) {
      const rng = new Rng(seed);
      const $defs = { n: randomSchema(rng, 1), m: randomSchema(rng, 2, ["n", "m"]) };
      const schema: Schema = {
        type: "object",
        properties: { v: randomSchema(rng, 3, ["n", "m"]) },
        required: ["v"],
        $defs,
      };
      const text = write(jsonSchemaGrammar(schema), rng, rng.int(80), seed < 5);
      longest = Math.max(longest, text.length);
      expect(isValid(JSON.parse(text), schema), `${JSON.stringify(schema)}\n${text}`).toBe(true);
    }
    expect(longest).toBeGreaterThan(200);
  });

  test("json_object gives objects", () => {
    for (let seed = 0; seed < 15; seed++) {
      const value = JSON.parse(write(jsonObjectGrammar, new Rng(seed), seed, seed < 10));
      expect(value !== null && typeof value === "object" && !Array.isArray(value)).toBe(true);
    }
  });

  test("blanks are bounded", () => {
    const constraint = new JsonConstraint(jsonObjectGrammar, trie, [END]);
    let state = constraint.advance(constraint.start, byte("{"));
    state = constraint.advance(state, byte("\n"));
    let spaces = 0;
    for (; has(constraint.allowed(state), byte(" ")); spaces++) state = constraint.advance(state, byte(" "));
    expect(spaces).toBe(32);
    expect(idsOf(constraint.allowed(state)).every((id) => VOCABULARY[id]![0] !== byte("\n"))).toBe(true);
  });

  test("a number may be complete and go on, an object may not", () => {
    const one = new JsonConstraint(jsonSchemaGrammar({ type: "integer" }), trie, [END]);
    const state = one.advance(one.start, byte("1"));
    expect(one.isComplete(state)).toBe(false);
    expect(has(one.allowed(state), END)).toBe(true);
    expect(has(one.allowed(state), byte("2"))).toBe(true);
    expect(one.advance(state, END)).toBe(state);

    const object = new JsonConstraint(jsonObjectGrammar, trie, [END]);
    const done = object.advance(
      object.start,
      VOCABULARY.findIndex((b) => b?.length === 2 && b[0] === 0x7b && b[1] === 0x7d),
    );
    expect(object.isComplete(done)).toBe(true);
    expect(idsOf(object.allowed(done))).toEqual([END]);
  });

  test("states may be continued in several ways, and masks stay right after many others", () => {
    const constraint = new JsonConstraint(jsonSchemaGrammar({ type: "array", maxItems: 200 }), trie, [END]);
    let state = constraint.advance(constraint.start, byte("["));
    const first = [...constraint.allowed(state)];
    const early = state;
    for (let i = 0; i < 100; i++) {
      state = constraint.advance(state, byte("1"));
      constraint.allowed(state);
      state = constraint.advance(state, byte(","));
      constraint.allowed(state);
    }
    expect([...constraint.allowed(early)]).toEqual(first);
  });

  test("tokens that are not allowed are refused", () => {
    const constraint = new JsonConstraint(jsonObjectGrammar, trie, [END]);
    for (const id of [byte("["), END, 298, 299, 9999])
      expect(() => constraint.advance(constraint.start, id)).toThrow(UsageError);
    expect(() => new JsonConstraint(jsonObjectGrammar, trie, [VOCABULARY.length])).toThrow(
      "the vocabulary's size",
    );
  });

  test("a vocabulary without the bytes to go on allows nothing", async () => {
    const a = new TextEncoder().encode("a");
    const letters = await TokenTrie.build(2, (id) => (id === 0 ? a : undefined));
    const constraint = new JsonConstraint(jsonObjectGrammar, letters, [1]);
    expect([...constraint.allowed(constraint.start)]).toEqual([0]);
  });
});

test("a vocabulary is read in pieces, between which other work has its turn", async () => {
  const tokens = Array.from({ length: 40_000 }, (_, i) => new TextEncoder().encode(`t${i.toString(7)}`));
  let pauses = 0;
  const built = await TokenTrie.build(
    tokens.length,
    (id) => tokens[id],
    async () => {
      pauses++;
    },
  );
  expect(pauses).toBeGreaterThan(8);
  expect(built.bytesOf(39_999)).toBe(tokens[39_999]);
});
