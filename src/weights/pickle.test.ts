import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../core/errors.ts";
import { MAX_PICKLE_BYTES, type PickleHost, readPickle } from "./pickle.ts";
import { readStateDict } from "./torch-pickle.ts";

const HOST: PickleHost = {
  global: (name) => ({ kind: name }),
  call: (callee, args) => [callee.kind, ...args],
  persistent: (id) => ["id", id],
};

/** Opcodes as a string of bytes. */
const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const read = (text: string) => readPickle("p", bytes(text), HOST);

describe("opcodes", () => {
  test.each<[string, string, unknown]>([
    ["constants", "(N\x88\x89t.", [null, true, false]],
    ["integers", "(J\xfe\xff\xff\xffK\xffM\x01\x02\x8a\x00\x8a\x02\x00\x80t.", [-2, 255, 513, 0, -32768]],
    ["a long beyond exact numbers", "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", -(2n ** 63n)],
    ["floats", "G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5],
    ["text", "(X\x02\x00\x00\x00\xc3\xa9\x8c\x01aU\x01bt.", ["é", "a", "b"]],
    ["bytes", "(C\x01\x07B\x01\x00\x00\x00\x08t.", [Uint8Array.of(7), Uint8Array.of(8)]],
    ["tuples", "(K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87)t.", [[1], [1, 2], [1, 2, 3], []]],
    ["lists", "(](K\x01K\x02eK\x03a(K\x04lt.", [[1, 2, 3], [4]]],
    [
      "dicts",
      "(}(K\x01K\x02uK\x03K\x04s(K\x05K\x06dt.",
      [
        new Map([
          [1, 2],
          [3, 4],
        ]),
        new Map([[5, 6]]),
      ],
    ],
    ["memo", "(K\x07q\x00h\x00r\x01\x00\x00\x00j\x01\x00\x00\x00\x94h\x02t.", [7, 7, 7, 7]],
    ["frames and protocols", "\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x01.", 1],
    ["dropped values", "K\x01K\x020.", 1],
    ["names and calls", "(cm\nf\n)R\x8c\x01m\x8c\x01g\x93(K\x01tRt.", [["m.f"], ["m.g", 1]]],
    ["state of dicts, which is ignored", "}}b.", new Map()],
    ["persistent ids", "K\x09Q.", ["id", 9]],
  ])("%s", (_, text, value) => expect(read(text)).toEqual(value));

  test.each<[string, string, RegExp]>([
    ["an opcode that makes objects", "\x81.", /opcode "\x81" at byte 0 is not one/],
    ["an old opcode", "icm\nf\n.", /opcode "i"/],
    ["a protocol of the future", "\x80\x06.", /protocol is above 5/],
    ["a missing end", "K\x01", /ends in the middle/],
    ["a length beyond the end", "X\xff\xff\xff\xff", /ends in the middle/],
    ["a name without end", "cm", /a name has no end/],
    ["a name that is no text", "K\x01K\x02\x93.", /a name is no text/],
    ["a name in other letters", "X\x01\x00\x00\x00\xff.", /not UTF-8/],
    ["an empty stack", ".", /a value is missing/],
    ["a mark for a value", "(.", /a value is missing/],
    ["a missing mark", "t.", /a mark is missing/],
    ["left over values", "K\x01K\x02.", /left over/],
    ["an unknown memo", "h\x05.", /value 5, which it has not made/],
    ["a key without value", "}(K\x01u.", /a key has no value/],
    ["items for a number", "K\x01(K\x01e.", /something else than a list/],
    ["keys for a number", "K\x01(K\x01K\x01u.", /something else than a dict/],
    ["state for a number", "K\x01K\x01b.", /something else than a dict/],
    ["a call of a number", "K\x01)R.", /a call without a name/],
  ])("refuses %s", (_, text, message) => {
    expect(() => read(text)).toThrow(CheckpointError);
    expect(() => read(text)).toThrow(message);
  });

  test("refuses more bytes and operations than a state dict has", () => {
    expect(() => readPickle("p", new Uint8Array(MAX_PICKLE_BYTES + 1), HOST)).toThrow(/at most/);
    expect(() => read(`${"N0".repeat(2_000_001)}N.`)).toThrow(/more than 4000000 operations/);
  });
});

describe("readStateDict", () => {
  const names = [
    "collections\nOrderedDict",
    "torch._utils\n_rebuild_tensor_v2",
    "torch\nFloatStorage",
    "torch\nSize",
  ];

  test("any opcodes in any order are read or refused, never anything else", () => {
    const op = fc.oneof(
      fc.constantFrom(..."(0N\x88\x89}])tld\x85\x86\x87aesuRbQ\x93\x94.".split("")),
      fc.constantFrom(
        ...names.map((n) => `c${n}\n`),
        "X\x01\x00\x00\x00a",
        "K\x02",
        "q\x00",
        "h\x00",
        "X\x07\x00\x00\x00storage",
      ),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 30 }), (ops) => {
        try {
          readStateDict("p", bytes(`${ops.join("")}.`));
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });

  test.each<[string, string, RegExp]>([
    ["a name outside torch", "cbuiltins\neval\n.", /refers to "builtins\.eval"/],
    ["a name of Object's own", "ctoString\n\n.", /refers to "toString\."/],
    [
      "another class of torch",
      "ctorch._utils\n_rebuild_sparse_tensor\n.",
      /"torch\._utils\._rebuild_sparse_tensor"/,
    ],
    ["a call of a class", "ctorch\nFloatStorage\n)R.", /calls torch\.FloatStorage, which is no function/],
    [
      "a storage without a class",
      "(X\x07\x00\x00\x00storageK\x01K\x01K\x01K\x01tQ.",
      /a storage is not described/,
    ],
    [
      "a tensor without a storage",
      "ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01))tR.",
      /a tensor is not described/,
    ],
    ["an OrderedDict of numbers", "ccollections\nOrderedDict\n((K\x01ttR.", /not made from pairs/],
    ["no dict", "K\x01.", /found no dict/],
    ["an empty dict", "}.", /found a dict of nothing/],
    [
      "dicts in dicts without end",
      `${"}X\x05\x00\x00\x00model".repeat(9)}}${"s".repeat(9)}.`,
      /expected a state dict/,
    ],
  ])("refuses %s", (_, text, message) => {
    expect(() => readStateDict("p", bytes(text))).toThrow(CheckpointError);
    expect(() => readStateDict("p", bytes(text))).toThrow(message);
  });
});

test("one list that is an argument again and again ends in an error, not in hours", () => {
  const list = `](${"K\x01".repeat(4000)}eq\x000`;
  const name = "cm\nf\nq\x010";
  const call = "h\x01h\x00\x85R0";
  expect(() => read(`${list}${name}${call.repeat(1000)}N.`)).not.toThrow();
  expect(() => read(`${list}${name}${call.repeat(2001)}N.`)).toThrow(/calls with more than \d+ items/);
});
