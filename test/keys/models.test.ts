import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import type { Param } from "../../src/graph/tensor.ts";
import { InternVisionModel, VisionConfig } from "../../src/models/intern_vit.ts";
import { InternVLC, InternVLConfig } from "../../src/models/internvl_c.ts";
import { PUBLISHED_NAMES, publishedModel } from "../../src/models/names.ts";
import { QLlamaConfig } from "../../src/models/qllama.ts";
import { parameters } from "../../src/nn/module.ts";
import { WITHOUT_QLLAMA } from "../../src/weights/internvl-c-keys.ts";
import { publishedStructure } from "../../src/weights/layouts.ts";
import { readKeyList } from "./key-list.ts";

/** Published name -> the list of its tensors. */
const LISTS: Readonly<Record<string, string>> = {
  "InternVL-14B-224px": "internvl-14b-224px",
  "InternViT-6B-224px": "intern-vit-6b-224px",
  "InternViT-6B-448px-V1-5": "intern-vit-6b-448px-v1-5",
  "InternViT-300M-448px": "intern-vit-300m-448px",
};

const shapes = (params: ReadonlyMap<string, Param>) =>
  new Map([...params].map(([key, p]) => [key, [...p.shape]]));
const total = (params: ReadonlyMap<string, Param>, pattern = /./) =>
  [...params].reduce((n, [key, p]) => n + (pattern.test(key) ? p.size : 0), 0);

test("every published model has a list, and every list of a published naming a model", () => {
  expect([...PUBLISHED_NAMES].sort()).toEqual(Object.keys(LISTS).sort());
  expect(publishedModel("InternViT-7B")).toBeUndefined();
  expect(publishedModel("toString")).toBeUndefined();
});

describe.each(Object.entries(LISTS))("the module tree of %s", (name, file) => {
  const { keys } = readKeyList(file);
  const part = [...keys].filter(([key]) => !WITHOUT_QLLAMA.some((d) => d.pattern.match(key)));
  const params = parameters(publishedModel(name)!.create());

  test("has the names and shapes of the checkpoint, those of the parts it consists of", () => {
    const sorted = (m: Iterable<readonly [string, readonly number[]]>) =>
      Object.fromEntries([...m].sort(([a], [b]) => (a < b ? -1 : 1)));
    expect(sorted(shapes(params))).toEqual(sorted(part));
  });

  test("is recognised by its structure", () => {
    const prefix = name.startsWith("InternViT") ? "vision_model." : "";
    const named = new Map([...params].map(([key, p]) => [prefix + key, p]));
    expect(publishedStructure(named)).toBe(name);
  });
});

describe("parameters of the published sizes", () => {
  const c = parameters(publishedModel("InternVL-14B-224px")!.create());

  // Layers and the paper's totals (arXiv:2312.14238, tables 1 and 2; 5903M for the 6B tower).
  test.each<[string, RegExp, number]>([
    ["InternVL-C", /./, 12_620_029_697],
    ["InternViT-6B", /^vision_model\./, 5_902_793_600],
    ["one of its layers", /^vision_model\.encoder\.layers\.47\./, 122_918_400],
    ["one LLaMA layer", /^qllama\.model\.layers\.31\./, 202_383_360],
    // Both of LLaMA's embeddings are 49,954 × 4096; the text encoder has no lm_head.
    ["the text encoder", /^qllama\./, 6_885_494_784 - 49_954 * 4096],
    ["clip_projector", /^clip_projector\./, 33_207_168],
    ["text_projection", /^text_projection$/, 3_145_728],
    ["logit_scale", /^logit_scale$/, 1],
  ])("%s", (_, pattern, parameterCount) => expect(total(c, pattern)).toBe(parameterCount));

  test.each<[string, number]>([
    ["InternViT-6B-224px", 5_902_793_600],
    ["InternViT-300M-448px", 304_012_288],
  ])("%s", (name, parameterCount) =>
    expect(total(parameters(publishedModel(name)!.create()))).toBe(parameterCount),
  );
});

test("a structure of 12.6 billion parameters takes no data", () => {
  const before = process.memoryUsage();
  const model = publishedModel("InternVL-14B-224px")!.create();
  const after = process.memoryUsage();
  expect(parameters(model).size).toBe(934);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1e6);
  expect(after.heapUsed - before.heapUsed).toBeLessThan(2e7);
});

test("a configuration that is taken is a fresh one", () => {
  const first = publishedModel("InternVL-14B-224px")!;
  if (first.kind !== "internvl_c") throw new Error("InternVL-14B-224px is an InternVL-C");
  first.config.force_image_size = 364;
  expect(publishedModel("InternVL-14B-224px")!.config).toMatchObject({ force_image_size: null });
  expect(shapes(parameters(first.create())).get("vision_model.embeddings.position_embedding")).toEqual([
    1, 677, 3200,
  ]);
});

test("the defaults of the 14B configuration are the published values", () => {
  expect(InternVLConfig.parse({})).toEqual(publishedModel("InternVL-14B-224px")!.config);
  expect(VisionConfig.parse({})).toEqual(publishedModel("InternViT-6B-224px")!.config);
});

describe("impossible configurations", () => {
  const vision = (fields: object) =>
    VisionConfig.parse({ hidden_size: 8, num_attention_heads: 2, ...fields });
  const c = (fields: { vision_config?: object; qllama_config?: object; attn_pool_num_heads?: number }) =>
    InternVLConfig.parse({
      attn_pool_num_heads: 2,
      ...fields,
      vision_config: vision({ num_hidden_layers: 1, ...fields.vision_config }),
      qllama_config: QLlamaConfig.parse({ hidden_size: 8, num_attention_heads: 2, ...fields.qllama_config }),
    });

  test.each<[string, () => unknown, string]>([
    [
      "a width that heads do not divide",
      () => new InternVisionModel(vision({ num_attention_heads: 3 })),
      "hidden_size 8 is not a multiple of num_attention_heads 3",
    ],
    [
      "a picture that patches do not divide",
      () => new InternVisionModel(vision({ image_size: 225 })),
      "image_size 225 is not a multiple of patch_size 14",
    ],
    [
      "a forced size that patches do not divide",
      () => new InternVLC({ ...c({}), force_image_size: 100 }),
      "image_size 100",
    ],
    ["pooling heads", () => new InternVLC(c({ attn_pool_num_heads: 3 })), "attn_pool_num_heads 3"],
    [
      "heads of odd width",
      () => new InternVLC(c({ qllama_config: { num_attention_heads: 8 } })),
      "twice num_attention_heads 8",
    ],
  ])("%s", (_, build, message) => {
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(message);
  });

  test("every wrong field is named at once", () => {
    const result = VisionConfig.safeParse({
      patch_size: 0,
      hidden_act: "relu",
      norm_type: "batch_norm",
      width: 3,
    });
    expect(result.error!.issues.map((i) => i.path.join() || i.message)).toEqual([
      "patch_size",
      "hidden_act",
      "norm_type",
      expect.stringContaining("width"),
    ]);
  });
});
