import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { randomWeights } from "../../test/evaluate.ts";
import { type HostTensor, zeros } from "../core/array.ts";
import { CheckpointError, ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { InternVLC, InternVLConfig } from "../models/internvl_c.ts";
import { parameters } from "../nn/module.ts";
import { writeSafetensors } from "../weights/write-safetensors.node.ts";
import { openModel } from "./load-model.node.ts";

const FIELDS = {
  clip_embed_dim: 6,
  attn_pool_num_heads: 2,
  vision_config: {
    patch_size: 4,
    image_size: 12,
    hidden_size: 12,
    num_attention_heads: 3,
    intermediate_size: 20,
    num_hidden_layers: 1,
  },
  qllama_config: {
    hidden_size: 8,
    intermediate_size: 10,
    num_attention_heads: 2,
    num_hidden_layers: 1,
    vocab_size: 9,
  },
};
const params = parameters(new InternVLC(InternVLConfig.parse(FIELDS)));
const weights = randomWeights(params, new Rng("load"));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-load-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function save(tensors: Iterable<[string, HostTensor]>, config?: unknown): Promise<string> {
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  if (config !== undefined) await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

const tiny = (key: string): [string, HostTensor] => [key, zeros("u8", [1])];
const layers = (count: number, name: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => tiny(name(i)));

describe("opening a model", () => {
  test("takes config.json, and what a published one holds without meaning", async () => {
    const unused = {
      architectures: ["InternVLModel"],
      torch_dtype: "bfloat16",
      max_txt_len: 32,
      hidden_size: 8,
    };
    const vision = { ...FIELDS.vision_config, use_flash_attn: true, dropout: 0, attention_dropout: 0 };
    const { model, weights: placed } = await openModel(
      await save(weights, { ...FIELDS, ...unused, vision_config: vision }),
    );
    expect(model.imageSize).toBe(12);
    expect([...placed.keys()]).toEqual([...params.keys()]);
  });

  test("fits the position table to another size of pictures", async () => {
    const { model, weights: placed } = await openModel(await save(weights, FIELDS), { imageSize: 20 });
    expect(model.imageSize).toBe(20);
    expect(placed.get("vision_model.embeddings.position_embedding")!.shape).toEqual([1, 26, 12]);
  });

  test("refuses fields that it does not know, and says all that is wrong at once", async () => {
    const vision_config = { ...FIELDS.vision_config, norm_type: "batch_norm", patch_size: 0 };
    const opening = openModel(await save(weights, { ...FIELDS, warp_factor: 9, vision_config }));
    await expect(opening).rejects.toThrow(ConfigError);
    await expect(opening).rejects.toThrow("config.json is not that of InternVL-C or -G:");
    for (const field of ["warp_factor", "vision_config.norm_type", "vision_config.patch_size"])
      await expect(opening).rejects.toThrow(field);
  });

  test("refuses sizes that do not fit each other", async () => {
    const opening = openModel(await save(weights, FIELDS), { imageSize: 21 });
    await expect(opening).rejects.toThrow(ConfigError);
    await expect(opening).rejects.toThrow("image_size 21 is not a multiple of patch_size 4");
  });

  test("without config.json knows none but the published structures", async () => {
    const opening = openModel(await save(weights));
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow("no config.json beside the weights");
  });

  test("without config.json tells a published tower from InternVL-C", async () => {
    const opening = openModel(
      await save([
        tiny("embeddings.class_embedding"),
        ["embeddings.position_embedding", zeros("u8", [1, 1025, 1024])],
        ...layers(24, (i) => `encoder.layers.${i}.mlp.fc1.weight`),
      ]),
    );
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow("expected InternVL-C, found the weights of InternViT-300M-448px");
  });

  test("without config.json takes the published one of the structure", async () => {
    const opening = openModel(
      await save([
        ["pos_embed", zeros("u8", [1, 257, 3200])],
        ["transformer.embed_tokens.weight", zeros("u8", [1, 4096])],
        ...layers(48, (i) => `blocks.${i}.mlp.fc1.weight`),
        ...layers(32, (i) => `transformer.layers.${i}.mlp.up_proj.weight`),
      ]),
    );
    // The weights are none, but the model that they are held against is the published one.
    await expect(opening).rejects.toThrow("of 934 tensors missing");
    await expect(opening).rejects.toThrow("expected [12800, 3200], found [1]");
  });
});
