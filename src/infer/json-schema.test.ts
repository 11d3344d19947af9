import { describe, expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { Automaton, type GrammarSymbol, type State } from "./byte-grammar.ts";
import { jsonObjectGrammar, jsonSchemaGrammar } from "./json-schema.ts";
import { isValid, randomSchema, randomValue, type Schema, spaced } from "./json-values.fixture.ts";

/** Whether a grammar accepts exactly this text, given as a string or as bytes. */
function accepts(grammar: GrammarSymbol, text: string | readonly number[]): boolean {
  const automaton = new Automaton(grammar);
  let state: State | null = automaton.start;
  for (const byte of typeof text === "string" ? new TextEncoder().encode(text) : text) {
    state = automaton.step(state, byte);
    if (state === null) return false;
  }
  return state.ends;
}

const LIST: Schema = {
  $ref: "#/$defs/list",
  $defs: {
    list: {
      type: "object",
      properties: {
        head: { type: "integer" },
        tail: { anyOf: [{ $ref: "#/$defs/list" }, { type: "null" }] },
      },
      required: ["head", "tail"],
      additionalProperties: false,
    },
  },
};
const POINT: Schema = {
  type: "object",
  properties: { x: { type: "integer" }, xy: { type: "string" } },
  required: ["x"],
  additionalProperties: false,
};
const OPEN: Schema = { type: "object", properties: { ab: { type: "integer" }, 'q"é': { type: "null" } } };

describe("jsonSchemaGrammar", () => {
  test.each<[Schema, string[], string[]]>([
    [{ type: "boolean" }, ["true", "false"], ["True", "tru", "truex", "null", "", " true", "true "]],
    [
      { type: "integer" },
      ["0", "-1", "120", "123456789012345680000"],
      ["01", "1.0", "1e3", "+1", "-", `${"1".repeat(22)}`, "0x1"],
    ],
    [
      { type: "number" },
      ["0", "-1.50", "1e3", "2.5E-7", "1e+307", "5e-324", "0.30000000000000004", "1.5e300"],
      [".5", "1.", "1e", "1e308", "1e999", "12e5", "1e05", "NaN", "Infinity", "--1"],
    ],
    [
      { type: "string" },
      ['""', '"a/b"', '"\\/\\"\\\\\\b"', '"\\u00e9\\ud83d\\uDE00"', '"é猫😀\u007f"', '"\\ud800"'],
      ['"', "a", '"a', '"a"b"', '"\\x"', '"\\u12"', '"\n"', '"\t"', '"\\u12g4"'],
    ],
    [
      POINT,
      ['{"x":1}', '{ "x": 1 }', '{"xy":"","x":1}', '{\n  "x": 1,\n  "xy": "a"\n}'],
      [
        "{}",
        '{"xy":"a"}',
        '{"x":1,"x":2}',
        '{"x":"1"}',
        '{"x":1,}',
        '{"x":1,"y":2}',
        '{"x" :1}',
        '{"x":  1}',
      ],
    ],
    [
      OPEN,
      ["{}", "{ }", '{"a":[1,{}]}', '{"abc":"s","ab":1}', '{"q\\"é":null}', '{"q\\"è":1}', '{"q\\n":1,"":2}'],
      // A declared key once, with its own type, in its one spelling.
      [
        '{"ab":"s"}',
        '{"ab":1,"ab":2}',
        '{"\\u0061b":"s"}',
        '{"q\\"é":1}',
        '{"q\\"\\u00e9":1}',
        '{"a\\/b":1}',
      ],
    ],
    [
      { type: "object", required: ["k"], additionalProperties: { type: "integer" } },
      ['{"k":1}', '{"a":2,"k":1}'],
      ["{}", '{"a":1}', '{"k":"s"}', '{"k":1,"k":2}'],
    ],
    [
      { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 },
      ["[1]", "[1, 2,3]", "[ 1 ]", "[\n  1,\n  2\n]"],
      ["[]", "[1,2,3,4]", "[1,]", "[,1]", "[1 ,2]", "[1\n\n]", "[1  ]", '["a"]'],
    ],
    [{ type: "array", items: false }, ["[]", "[ ]"], ["[1]"]],
    [{ type: "array", minItems: 2 }, ["[1,{}]", "[1,2,3,4,5]"], ["[]", "[1]"]],
    [
      { enum: ["a", 1, null, 'x"\n'] },
      ['"a"', "1", "null", '"x\\"\\n"'],
      ['"b"', "2", "1.0", '"\\u0061"', '"a'],
    ],
    [{ type: "string", enum: ["a", 1] }, ['"a"'], ["1"]],
    [
      { const: { a: [1, 2], b: {} } },
      ['{"a":[1,2],"b":{}}', '{"b": {}, "a": [1, 2]}'],
      ['{"a":[1,2]}', '{"a":[2,1],"b":{}}'],
    ],
    [{ type: ["integer", "null"] }, ["1", "null"], ['"a"', "1.5"]],
    [
      { anyOf: [POINT, { type: "array", items: POINT }] },
      ['{"x":1}', '[{"x":1},{"x":2}]', "[]"],
      ["1", "[1]"],
    ],
    [
      { anyOf: [{ ...POINT, properties: { x: { type: "null" } } }, POINT] },
      ['{"x":null}', '{"x":3,"xy":"a"}'],
      ['{"x":null,"xy":"a"}', '{"x":true}'],
    ],
    [
      LIST,
      ['{"head":1,"tail":null}', '{"tail": {"head": 2, "tail": null}, "head": 1}'],
      ['{"head":1}', '{"head":1,"tail":{}}', '{"head":1,"tail":{"head":2,"tail":3}}'],
    ],
    [
      { type: "object", properties: { me: { $ref: "#" } }, additionalProperties: false },
      ['{"me":{"me":{}}}'],
      ['{"me":1}'],
    ],
    [true, ["1", '{"a":[]}', "null"], ["", "[1"]],
    [{ description: "anything" }, ["1", '"a"'], ["a"]],
    [{ properties: { a: { type: "null" } } }, ['{"a":null}'], ["1"]],
    [{ items: { type: "null" } }, ["[null]"], ["1", "[1]"]],
  ])("%j", (schema, valid, invalid) => {
    const grammar = jsonSchemaGrammar(schema);
    for (const text of valid) expect(accepts(grammar, text), text).toBe(true);
    for (const text of invalid) expect(accepts(grammar, text), text).toBe(false);
  });

  test("strings are well-formed UTF-8", () => {
    const grammar = jsonSchemaGrammar({ type: "string" });
    const quoted = (...bytes: number[]) => accepts(grammar, [0x22, ...bytes, 0x22]);
    for (const text of [
      "\u0080",
      "\u07ff",
      "\u0800",
      "\ud7ff",
      "\ue000",
      "\uffff",
      "\u{10000}",
      "\u{10ffff}",
    ])
      expect(accepts(grammar, `"${text}"`)).toBe(true);
    // Overlong forms, surrogates, beyond U+10FFFF, cut off, and a continuation without its beginning.
    for (const bytes of [
      [0xc0, 0x80],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xc3],
      [0x80],
    ])
      expect(quoted(...bytes), String(bytes)).toBe(false);
  });

  test("json_object is any object and nothing else", () => {
    for (const text of ["{}", '{"a":{"b":[1,null,"x"]}}', '{"a": 1, "a\\n": 2}'])
      expect(accepts(jsonObjectGrammar, text)).toBe(true);
    for (const text of ["[]", "1", '"a"', "{a:1}", "{", ""])
      expect(accepts(jsonObjectGrammar, text)).toBe(false);
  });

  test("every spelling of every value that a schema allows is accepted, and no value that it forbids", () => {
    let refused = 0;
    for (let seed = 0; seed < 300; seed++) {
      const rng = new Rng(seed);
      const $defs = { n: randomSchema(rng, 1), m: randomSchema(rng, 2, ["n", "m"]) };
      const schema: Schema = { type: "object", properties: { v: randomSchema(rng, 3, ["n", "m"]) }, $defs };
      const grammar = jsonSchemaGrammar(schema);
      for (let i = 0; i < 5; i++) {
        const value = randomValue(rng, schema, schema, 4);
        expect(isValid(value, schema)).toBe(true);
        const forms = [JSON.stringify(value), spaced(value), JSON.stringify(value, null, 2)];
        // JSON.stringify escapes half surrogates in keys, which the grammar does not spell.
        for (const text of forms)
          expect(accepts(grammar, text), `${JSON.stringify(schema)} ${text}`).toBe(true);
        const other = { v: randomValue(rng, true, true, 3) };
        if (isValid(other, schema)) continue;
        refused++;
        expect(accepts(grammar, JSON.stringify(other)), JSON.stringify([schema, other])).toBe(false);
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  test.each<[string, unknown, string]>([
    ["unknown keywords", { type: "string", pattern: "a", minLength: 2 }, '"pattern", "minLength"'],
    [
      "keywords in the middle",
      { properties: { a: { items: { not: {} } } } },
      '#/properties/a/items: not supported here: "not"',
    ],
    ["what the library does not know", { oneOf: [{}] }, '"oneOf"'],
    ["a type that is none", { type: "text" }, 'found "text"'],
    ["no schema", 3, "expected a schema, found 3"],
    ["nothing allowed", false, "false allows no value"],
    ["a $ref beside others", { $ref: "#", type: "object" }, "$ref is supported alone, not beside type"],
    ["an anyOf beside others", { anyOf: [{}], type: "object" }, "anyOf is supported alone, not beside type"],
    ["an unknown $ref", { $ref: "#/$defs/no" }, 'found "#/$defs/no"'],
    ["a $ref to elsewhere", { $ref: "https://example.org/x" }, "example.org"],
    ["$defs inside", { items: { $defs: {} } }, '#/items: not supported here: "$defs"'],
    ["an empty anyOf", { anyOf: [] }, "#/anyOf: expected a list of 1 to 1000"],
    ["an enum that is no list", { enum: "a" }, "#/enum"],
    ["values of another type", { type: "string", enum: [1] }, "no value of const or enum has the type"],
    ["const and enum", { const: 1, enum: [1] }, "alone or beside type"],
    ["an endless reference", { $ref: "#" }, "#: refers to itself"],
    [
      "a circle of references",
      {
        $ref: "#/$defs/a",
        $defs: { a: { anyOf: [{ type: "null" }, { $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } },
      },
      "#/$defs/a: refers to itself",
    ],
    ["too few items allowed", { minItems: 3, maxItems: 2 }, "allow no array"],
    ["counts that are none", { minItems: -1 }, "whole numbers"],
    ["required names that cannot be", { required: ["a"], additionalProperties: false }, '"a" is required'],
    ["a required that is no list", { required: "a" }, "list of at most"],
    ["half a character in a name", { properties: { "\ud800": {} } }, "surrogate"],
    ["half a character in a value", { const: { a: ["\udc00"] } }, "surrogate"],
    ["properties that are no object", { properties: [] }, "expected properties"],
    ["too long a schema", { description: "x".repeat(300_000) }, "characters"],
    ["too deep a schema", JSON.parse(`${'{"items":'.repeat(5000)}{}${"}".repeat(5000)}`), "levels"],
  ])("refuses %s", (_, schema, message) => {
    const make = () => jsonSchemaGrammar(schema, "response_format");
    expect(make).toThrow(UsageError);
    expect(make).toThrow(message);
    expect(make).toThrow(/^response_format: /);
  });

  test("tells all problems at once", () => {
    const make = () => jsonSchemaGrammar({ properties: { a: { format: "date" }, b: { type: "text" } } });
    expect(make).toThrow(/format[\s\S]*text/);
  });

  test("names in references are escaped as in JSON pointers", () => {
    const schema = { $ref: "#/$defs/a~1b%20~0", $defs: { "a/b ~": { type: "null" } } };
    expect(accepts(jsonSchemaGrammar(schema), "null")).toBe(true);
    expect(() => jsonSchemaGrammar({ $ref: "#/$defs/%" })).toThrow("expected a $ref");
  });
});
