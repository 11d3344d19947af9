import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError, InternVLError } from "../core/errors.ts";
import { concat, drop, KeyMap } from "./key-map.ts";
import { KeyPattern } from "./key-pattern.ts";

const HF = "vision_tower.encoder.layer.{i}";
const OURS = "vision_model.encoder.layers.{i}";
const MAP = new KeyMap(
  {
    "vision_tower.embeddings.cls_token": "vision_model.embeddings.class_embedding",
    [`${HF}.attention.{q,k,v}_proj.{p}`]: concat(`${OURS}.attn.qkv.{p}`, 0),
    [`${HF}.layernorm_{before,after}.{p}`]: `${OURS}.norm{1,2}.{p}`,
    [`${HF}.lambda_{n}`]: `${OURS}.ls{n}`,
    "language_model.{rest*}": "language_model.{rest*}",
  },
  [drop(`${HF}.attention.rotary.inv_freq`, "computed")],
);

describe("KeyPattern", () => {
  test("matches whole keys, numbers without leading zeros, segments and rests", () => {
    const p = new KeyPattern("a.{i}.x_{p}.{rest*}");
    expect(p.match("a.10.x_b.c.d")).toEqual(
      new Map([
        ["i", "10"],
        ["p", "b"],
        ["rest*", "c.d"],
      ]),
    );
    for (const key of [
      "a.01.x_b.c",
      "a.1.x_.c",
      "a.1.x_b",
      "a.1.x_b.",
      "a.1.x_b..c",
      "b.a.1.x_b.c",
      "aX1.x_b.c",
    ])
      expect(p.match(key), key).toBeUndefined();
  });

  test.each(["{a}{b}", "a.{i}_{p}", "{x*}.{y*}", "a{rest*}", "{p}.{p}", "a.{", "a.{}", "a.{b-c}"])(
    "refuses %s, which could match in several ways",
    (text) => expect(() => new KeyPattern(text)).toThrow(InternVLError),
  );
});

describe("KeyMap", () => {
  test("renames, takes alternatives by position, and gathers the parts of a concat", () => {
    expect(MAP.map("vision_tower.encoder.layer.11.layernorm_after.bias")).toEqual({
      key: "vision_model.encoder.layers.11.norm2.bias",
    });
    expect(MAP.map("vision_tower.encoder.layer.0.attention.k_proj.weight")).toEqual({
      key: "vision_model.encoder.layers.0.attn.qkv.weight",
      part: { index: 1, count: 3, axis: 0 },
    });
    expect(MAP.unmap("vision_model.encoder.layers.4.attn.qkv.bias")).toEqual({
      keys: ["q", "k", "v"].map((x) => `vision_tower.encoder.layer.4.attention.${x}_proj.bias`),
      axis: 0,
    });
  });

  test("knows dropped and unknown keys apart", () => {
    expect(MAP.map("vision_tower.encoder.layer.0.attention.rotary.inv_freq")).toEqual({
      dropped: "computed",
    });
    expect(MAP.map("vision_tower.encoder.layer.0.extra")).toBeUndefined();
    expect(MAP.unmap("mlp1.0.weight")).toBeUndefined();
  });

  test("unmap(map(k)) holds k, for keys of every rule", () => {
    const number = fc.nat(999).map(String);
    const word = fc.stringMatching(/^[a-z_]{1,6}$/);
    const key = fc.oneof(
      fc.constant("vision_tower.embeddings.cls_token"),
      fc
        .tuple(number, fc.constantFrom("q", "k", "v"), word)
        .map(([i, x, p]) => `vision_tower.encoder.layer.${i}.attention.${x}_proj.${p}`),
      fc
        .tuple(number, fc.constantFrom("before", "after"), word)
        .map(([i, x, p]) => `vision_tower.encoder.layer.${i}.layernorm_${x}.${p}`),
      fc.tuple(number, number).map(([i, n]) => `vision_tower.encoder.layer.${i}.lambda_${n}`),
      fc
        .array(fc.oneof(word, number), { minLength: 1, maxLength: 5 })
        .map((s) => `language_model.${s.join(".")}`),
    );
    fc.assert(
      fc.property(key, (k) => {
        const to = MAP.map(k)!;
        if (!("key" in to)) throw new Error(`${k} was dropped`);
        expect(MAP.unmap(to.key)!.keys[to.part?.index ?? 0]).toBe(k);
      }),
    );
  });

  test("more than one matching rule is an error, both ways", () => {
    const map = new KeyMap({ "a.{p}": "x.{p}", "{p}.b": "x.{p}" });
    expect(() => map.map("a.b")).toThrow(CheckpointError);
    expect(() => map.unmap("x.c")).toThrow(/2 rules match the key x\.c/);
  });

  test.each<[string, ConstructorParameters<typeof KeyMap>[0]]>([
    ["a placeholder on one side only", { "a.{i}": "b.0" }],
    ["lists of different length", { "{a,b}.x": "{c,d,e}.x" }],
    ["a list on one side only", { "{a,b}.x": "c.x" }],
    ["equal targets", { "{a,b}.x": "{c,c}.x" }],
    ["a concat without parts", { "a.x": concat("b.x", 0) }],
    ["a concat with two lists", { "{a,b}.{c,d}": concat("b.x", 0) }],
    ["a concat that loses a name", { "{a,b}.{i}": concat("b.x", 0) }],
  ])("refuses a table that cannot be reversed: %s", (_, rules) =>
    expect(() => new KeyMap(rules)).toThrow(InternVLError),
  );
});
