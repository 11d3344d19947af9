import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readChatConfig } from "../../src/models/chat-config.ts";
import { type CacheShape, cacheBytes, chatMemory } from "../../src/models/chat-memory.ts";
import { InternVLChat } from "../../src/models/internvl_chat.ts";
import { PUBLISHED_CHAT_NAMES, publishedChat } from "../../src/models/published-chat.ts";
import { type Module, parameters } from "../../src/nn/module.ts";
import { detectLayout } from "../../src/weights/layouts.ts";
import { countParameters, type KeyList, readKeyList, withModelPrefix } from "./key-list.ts";

const LISTS = new Map(PUBLISHED_CHAT_NAMES.map((name) => [name, readKeyList(`chat/${name}`)]));
const list = (name: string): KeyList => LISTS.get(name)!;
const GITHUB = PUBLISHED_CHAT_NAMES.filter((name) => publishedChat(name)!.format === "github");
const HF = PUBLISHED_CHAT_NAMES.filter((name) => publishedChat(name)!.format === "hf");

/** Names and shapes in the order of names, so that a difference reads well. */
const sorted = (keys: Iterable<readonly [string, readonly number[]]>) =>
  Object.fromEntries([...keys].sort(([a], [b]) => (a < b ? -1 : 1)));

/** Names and shapes of a module tree. */
const tree = (module: Module) =>
  sorted([...parameters(module)].map(([key, p]) => [key, p.shape as readonly number[]]));

const under = (keys: KeyList["keys"], prefix: string) =>
  new Map([...keys].filter(([key]) => key.startsWith(prefix)));

test("there is a list for every published chat model, and no other", () => {
  const files = readdirSync(new URL("./chat/", import.meta.url)).map((f) => f.replace(/\.json$/, ""));
  expect(files.sort()).toEqual([...PUBLISHED_CHAT_NAMES].sort());
});

describe.each(PUBLISHED_CHAT_NAMES)("the list of %s", (name) => {
  const { keys, ...head } = list(name);

  test("is what it says it is", () => {
    expect(head.name).toBe(name);
    expect(head.layout).toBe(publishedChat(name)!.format === "hf" ? "hf" : "chat");
    expect(countParameters(keys)).toBe(head.parameters);
    expect(Math.max(...[...keys.values()].map((shape) => shape.length))).toBe(4);
  });

  test("has one layer after the other, all of the same names", () => {
    for (const [prefix, field] of [
      [/^language_model\.model\.layers\.(\d+)\./, "llm_config"],
      [/^vision_(?:model|tower)\.encoder\.layers?\.(\d+)\./, "vision_config"],
    ] as const) {
      const config = publishedChat(name)!.config;
      const { num_hidden_layers } = (config[field] ?? config.text_config) as CacheShape;
      const perLayer = new Map<number, number>();
      for (const key of keys.keys()) {
        const layer = prefix.exec(key)?.[1];
        if (layer !== undefined) perLayer.set(Number(layer), (perLayer.get(Number(layer)) ?? 0) + 1);
      }
      expect([...perLayer.keys()].sort((a, b) => a - b)).toEqual([...Array(num_hidden_layers).keys()]);
      expect(new Set(perLayer.values()).size).toBe(1);
    }
  });
});

/** The module tree of a published configuration, in either format. */
function moduleTree(name: string): Record<string, readonly number[]> {
  const { chat, language } = readChatConfig(publishedChat(name)!.config, name);
  return tree(new InternVLChat(chat, language.create()));
}

describe.each(GITHUB)("the module tree of %s", (name) => {
  test("has the names and shapes of the list", () =>
    expect(moduleTree(name)).toEqual(sorted(list(name).keys)));
});

describe("sizes in billions, as OpenGVLab publishes them", () => {
  // README.md of OpenGVLab/InternVL (3.5) and the tables of czczup/InternVL-doc (1.1 to 2.5). Those of InternVL2_5-4B,
  // -38B and -78B there are InternVL2's rows, copied; no table was found for InternVL3.
  test.each<[string, number]>([
    ["InternVL-Chat-V1-2", 40.1],
    ["InternVL-Chat-V1-2-Plus", 40.1],
    ["InternVL-Chat-V1-5", 25.5],
    ["Mini-InternVL-Chat-2B-V1-5", 2.2],
    ["InternVL2-1B", 0.9],
    ["InternVL2-2B", 2.2],
    ["InternVL2-8B", 8.1],
    ["InternVL2-26B", 25.5],
    ["InternVL2-40B", 40.1],
    ["InternVL2-Llama3-76B", 76.3],
    ["InternVL2_5-1B", 0.9],
    ["InternVL2_5-2B", 2.2],
    ["InternVL2_5-8B", 8.1],
    ["InternVL2_5-8B-MPO-hf", 8.1],
    ["InternVL2_5-26B", 25.5],
    ["InternVL3_5-1B", 1.1],
    ["InternVL3_5-2B", 2.3],
    ["InternVL3_5-4B", 4.7],
    ["InternVL3_5-8B", 8.5],
    ["InternVL3_5-14B", 15.1],
    ["InternVL3_5-38B", 38.4],
    ["InternVL3_5-GPT-OSS-20B-A4B-Preview", 21.2],
    ["InternVL3_5-30B-A3B", 30.8],
    ["InternVL3_5-241B-A28B", 240.7],
  ])("%s: %f", (name, billions) => expect(Number((list(name).parameters / 1e9).toFixed(1))).toBe(billions));

  // Published a little larger than their language models' published sizes make them: 4.147 and 19.013.
  test.each<[string, number]>([
    ["InternVL-Chat-V1-1", 19.1],
    ["Mini-InternVL-Chat-4B-V1-5", 4.2],
    ["InternVL2-4B", 4.2],
  ])("%s: not quite %f", (name, billions) => {
    expect(list(name).parameters / 1e9).toBeLessThan(billions);
    expect(list(name).parameters / 1e9).toBeGreaterThan(billions - 0.1);
  });

  test.each<[string, number, number]>([
    ["InternVL3_5-1B", 0.3, 0.8],
    ["InternVL3_5-2B", 0.3, 2.0],
    ["InternVL3_5-4B", 0.3, 4.4],
    ["InternVL3_5-8B", 0.3, 8.2],
    ["InternVL3_5-14B", 0.3, 14.8],
    ["InternVL3_5-38B", 5.5, 32.8],
    ["InternVL3_5-GPT-OSS-20B-A4B-Preview", 0.3, 20.9],
    ["InternVL3_5-30B-A3B", 0.3, 30.5],
    ["InternVL3_5-241B-A28B", 5.5, 235.1],
  ])("%s: vision %f, language %f", (name, vision, language) => {
    const billions = (pattern: RegExp) =>
      Number((countParameters(list(name).keys, pattern) / 1e9).toFixed(1));
    expect([billions(/^vision_model\./), billions(/^language_model\./)]).toEqual([vision, language]);
  });
});

describe("language models, to the parameter", () => {
  const parametersOf = (name: string) => countParameters(list(name).keys, /^language_model\./);

  test("gpt-oss-20b's published file, its number of tensors too", () => {
    expect(parametersOf("InternVL3_5-GPT-OSS-20B-A4B-Preview")).toBe(20_914_757_184);
    const llm = under(list("InternVL3_5-GPT-OSS-20B-A4B-Preview").keys, "language_model.");
    expect(llm.size).toBe(411);
  });

  test("Phi-3-mini's 3,821,079,552, but with 32,020 instead of 32,064 tokens in both matrices", () =>
    expect(parametersOf("InternVL2-4B")).toBe(3_821_079_552 - 44 * 2 * 3072));

  test("Qwen2.5-0.5B's 494,032,768, but with 151,674 instead of 151,936 tokens, and a head of its own", () =>
    expect(parametersOf("InternVL3-1B")).toBe(494_032_768 - 262 * 896 + 151_674 * 896));

  test("InternLM2 with keys and values in wqkv has as many as the Llama that it is in transformers", () =>
    expect(parametersOf("InternVL2_5-8B")).toBe(parametersOf("InternVL2_5-8B-MPO-hf")));
});

describe.each(HF)("transformers' %s", (name) => {
  const { keys } = list(name);

  test("is as large as OpenGVLab's own format", () =>
    expect(countParameters(keys)).toBe(list(name.replace(/(-MPO)?-hf$/i, "")).parameters));

  test.each([
    ["hf", (key: string) => key],
    ["hf-prefixed", withModelPrefix],
  ] as const)("is recognised as %s, and its names go to the module tree's and back", (form, rename) => {
    const layout = detectLayout([...keys.keys()].map(rename))!;
    expect(layout.name).toBe(form);
    const ours = moduleTree(name);
    const back = new Set<string>();
    for (const key of Object.keys(ours))
      for (const file of layout.keys.unmap(key)?.keys ?? []) back.add(file);
    expect([...back].sort()).toEqual([...keys.keys()].map(rename).sort());
    for (const key of keys.keys()) {
      const to = layout.keys.map(rename(key))!;
      const [own, part] = "key" in to ? [to.key, to.part] : ["", undefined];
      const [first = 0, ...rest] = keys.get(key)!;
      expect(ours[own], key).toEqual(part ? [part.count * first, ...rest] : [first, ...rest]);
    }
  });
});

test("the two forms of a transformers name", () => {
  expect(
    [
      "language_model.model.layers.0.mlp.up_proj.weight",
      "language_model.lm_head.weight",
      "vision_tower.embeddings.cls_token",
      "multi_modal_projector.linear_1.bias",
    ].map(withModelPrefix),
  ).toEqual([
    "model.language_model.layers.0.mlp.up_proj.weight",
    "lm_head.weight",
    "model.vision_tower.embeddings.cls_token",
    "model.multi_modal_projector.linear_1.bias",
  ]);
});

describe("memory from the lists", () => {
  // Added up by hand from the configurations (every matrix in rows of blocks), not from the lists.
  test.each<[string, number, number, number]>([
    ["InternVL3-1B", 938_193_024, 1_101_202_776, 955_835_736],
    ["InternVL3_5-GPT-OSS-20B-A4B-Preview", 21_238_874_304, 22_934_009_472, 14_465_611_392],
  ])("%s", (name, total, w8, w4) =>
    expect(chatMemory(list(name).keys)).toEqual({
      parameters: total,
      weightBytes: { bf16: 2 * total, f32: 4 * total, w8, w4 },
    }),
  );

  test.each<[string, number]>([
    ["InternVL3-1B", 24_576],
    ["InternVL2-4B", 786_432],
    ["InternVL3-9B", 98_304],
    ["InternVL3_5-4B", 294_912],
    ["InternVL3_5-241B-A28B", 385_024],
  ])("a token of %s: %d bytes of cache", (name, bytes) =>
    expect(cacheBytes(publishedChat(name)!.config.llm_config as CacheShape, 1)).toBe(bytes),
  );
});
