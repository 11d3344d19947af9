import { describe, expect, test } from "vitest";
import { sizeOf } from "../../src/core/array.ts";
import { C_KEYS, VISION_ONLY, WITHOUT_QLLAMA } from "../../src/weights/internvl-c-keys.ts";
import type { KeyMap } from "../../src/weights/key-map.ts";
import { detectLayout, publishedStructure } from "../../src/weights/layouts.ts";
import { expandBraces, readKeyList } from "./key-list.ts";

const FILES = [
  "internvl-14b-224px",
  "internvl-c-13b-224px",
  "intern-vit-6b-224px",
  "intern-vit-6b-224px.c",
  "intern-vit-6b-448px-v1-5",
  "intern-vit-6b-448px-v1-5.c",
  "intern-vit-300m-448px",
  "intern-vit-300m-448px.c",
];

const count = (shapes: Iterable<readonly number[]>) => [...shapes].reduce((n, s) => n + sizeOf(s), 0);

/** A list under our names; throws when a key is not mapped. */
function ours(file: string): Map<string, readonly number[]> {
  const { keys } = readKeyList(file);
  const map = detectLayout(keys.keys())!.keys!;
  return new Map([...keys].map(([k, shape]) => [mapped(map, k), shape]));
}

function mapped(map: KeyMap, key: string): string {
  const to = map.map(key);
  if (to === undefined || !("key" in to)) throw new Error(`${key} goes nowhere`);
  return to.key;
}

test("braces expand as in a shell", () => {
  expect(expandBraces("a.{0..4..2}.{x,y}")).toEqual(["a.0.x", "a.0.y", "a.2.x", "a.2.y", "a.4.x", "a.4.y"]);
});

describe.each(FILES)("%s", (file) => {
  const list = readKeyList(file);

  test("the patterns give the stated number of parameters", () => {
    expect(count(list.keys.values())).toBe(list.parameters);
  });

  test("the layout is recognised and its map reversible", () => {
    const layout = detectLayout(list.keys.keys())!;
    expect(layout.name).toBe(list.layout);
    for (const key of list.keys.keys()) {
      const name = mapped(layout.keys!, key);
      expect(layout.keys!.unmap(name)).toEqual({ keys: [key] });
    }
  });
});

describe("totals of the paper's parts", () => {
  const all = readKeyList("internvl-14b-224px").keys;
  const under = (pattern: RegExp) => count([...all].filter(([k]) => pattern.test(k)).map(([, s]) => s));

  test.each<[string, RegExp, number]>([
    ["ViT", /^vision_model\./, 5_902_793_600],
    ["one ViT layer", /^vision_model\.encoder\.layers\.7\./, 122_918_400],
    ["QLLaMA", /^qllama\./, 7_841_912_832],
    ["one LLaMA layer", /^qllama\.model\.layers\.1\./, 202_383_360],
    ["cross attention", /\.layers\.\d+\.cross_attn\./, 956_418_048],
    ["clip_projector", /^clip_projector\./, 33_207_168],
    ["clip_projector2", /^clip_projector2\./, 53_515_008],
    ["query_tokens", /^query_tokens$/, 393_216],
    ["text_projection", /^text_projection$/, 3_145_728],
    ["itm_head", /^itm_head\./, 8_194],
  ])("%s", (_, pattern, parameters) => expect(under(pattern)).toBe(parameters));
});

test("the stand-alone C file is the 14B file without what only G uses", () => {
  const c = [...readKeyList("internvl-14b-224px").keys].filter(
    ([k]) => !WITHOUT_QLLAMA.some((d) => d.pattern.match(k)),
  );
  expect(new Map([...ours("internvl-c-13b-224px")].sort())).toEqual(new Map(c.sort()));
});

test.each(["intern-vit-6b-224px", "intern-vit-6b-448px-v1-5", "intern-vit-300m-448px"])(
  "both namings of %s are the same tower",
  (file) => {
    const tower = [...ours(`${file}.c`)].filter(([k]) => !VISION_ONLY.some((d) => d.pattern.match(k)));
    expect(new Map(tower.sort())).toEqual(new Map([...ours(file)].sort()));
  },
);

test.each([
  ["internvl-14b-224px", "InternVL-14B-224px"],
  ["internvl-c-13b-224px", "InternVL-14B-224px"],
  ["intern-vit-6b-224px.c", "InternViT-6B-224px"],
  ["intern-vit-6b-448px-v1-5", "InternViT-6B-448px-V1-5"],
  ["intern-vit-300m-448px", "InternViT-300M-448px"],
])("%s has the published structure %s", (file, name) => {
  const shapes = new Map([...ours(file)].map(([k, shape]) => [k, { shape }]));
  expect(publishedStructure(shapes)).toBe(name);
  expect(publishedStructure(new Map([...shapes].slice(1)))).toBe(name);
  expect(
    publishedStructure(new Map([...shapes].filter(([k]) => !k.includes(".layers.23.")))),
  ).toBeUndefined();
});

test("rotary tables of old LLaMA files are dropped", () => {
  expect(C_KEYS.map("transformer.layers.3.self_attn.rotary_emb.inv_freq")).toEqual({
    dropped: expect.stringContaining("computed"),
  });
});
