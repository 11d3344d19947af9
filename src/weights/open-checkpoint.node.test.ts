import { cp, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { castFloat, f32, type HostTensor } from "../core/array.ts";
import { CheckpointError } from "../core/errors.ts";
import { loadCheckpoint } from "./load-checkpoint.ts";
import { locateWeights, openCheckpoint } from "./open-checkpoint.node.ts";
import { fixture } from "./test-files.node.ts";
import { writeSafetensors } from "./write-safetensors.node.ts";

const zeros = (keys: readonly string[]) => new Map<string, HostTensor>(keys.map((k) => [k, f32([1], [0])]));

describe("openCheckpoint", () => {
  test.each<[string, readonly string[], string | undefined]>([
    ["14b", ["vision_model.embeddings.class_embedding", "qllama.model.norm.weight"], "14b"],
    ["c", ["cls_token", "blocks.0.ls1.gamma", "transformer.embed_tokens.weight"], "c"],
    ["c-vision", ["cls_token", "blocks.0.ls1.gamma"], "c-vision"],
    ["vision", ["embeddings.class_embedding"], "vision"],
    ["hf", ["vision_tower.embeddings.cls_token", "language_model.model.embed_tokens.weight"], "hf"],
    ["hf-prefixed", ["model.vision_tower.embeddings.cls_token"], "hf-prefixed"],
    [
      "chat",
      ["vision_model.embeddings.class_embedding", "language_model.model.tok_embeddings.weight"],
      "chat",
    ],
    ["unknown", ["weight"], undefined],
  ])("recognises the layout %s", async (_, keys, layout) => {
    await using folder = await temporaryFolder();
    await writeSafetensors(join(folder.path, "model.safetensors"), zeros(keys));
    const opened = await openCheckpoint(folder.path);
    expect(opened.layout?.name).toBe(layout);
    expect(opened.keys).toBe(opened.layout?.keys);
    expect(opened.config).toBeUndefined();
    expect(opened.published).toBeUndefined();
  });

  test("reads config.json beside a folder's and beside a file's weights", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "any name.pth");
    await cp(fixture("plain.pth"), path);
    await writeFile(join(folder.path, "config.json"), '{"model_type":"internvl"}');
    for (const place of [folder.path, path])
      expect(await openCheckpoint(place)).toMatchObject({ config: { model_type: "internvl" } });
    await writeFile(join(folder.path, "config.json"), "{");
    await expect(openCheckpoint(path)).rejects.toThrow(/config\.json: expected JSON/);
    await writeFile(join(folder.path, "config.json"), " ".repeat(2 << 20));
    await expect(openCheckpoint(path)).rejects.toThrow(/a configuration has at most/);
  });

  test("takes off the prefix of parallel training", async () => {
    const [plain, prefixed] = await Promise.all(
      ["nested.pth", "prefixed.pth"].map(async (f) => (await openCheckpoint(fixture(f))).checkpoint),
    );
    expect(prefixed!.keys).toEqual(plain!.keys);
    const key = "linear.weight";
    expect(await prefixed!.read(prefixed!.tensors.get(key)!)).toEqual(
      await plain!.read(plain!.tensors.get(key)!),
    );
  });

  test("opens torch's shards by their index", async () => {
    await using folder = await temporaryFolder();
    const [one, two] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    await cp(fixture("plain.pth"), join(folder.path, one));
    await cp(fixture("nested.pth"), join(folder.path, two));
    const plain = (await openCheckpoint(fixture("plain.pth"))).checkpoint;
    const nested = (await openCheckpoint(fixture("nested.pth"))).checkpoint;
    const map = new Map([
      ...nested.keys.map((k) => [k, two] as const),
      ...plain.keys.map((k) => [k, one] as const),
    ]);
    const index = join(folder.path, "pytorch_model.bin.index.json");
    const save = (weights: Iterable<readonly [string, string]>) =>
      writeFile(index, JSON.stringify({ weight_map: Object.fromEntries(weights) }));
    await save(map);
    for (const path of [folder.path, index]) {
      const { checkpoint } = await openCheckpoint(path);
      expect(checkpoint.keys).toEqual([...map.keys()]);
      for (const whole of [plain, nested])
        for (const [key, source] of whole.tensors)
          expect(await checkpoint.read(checkpoint.tensors.get(key)!), key).toEqual(await whole.read(source));
    }
    await save([...map].slice(1));
    await expect(openCheckpoint(folder.path)).rejects.toThrow(/1 tensors are not where the index says/);
    await save([["x", "../elsewhere.bin"]]);
    await expect(openCheckpoint(folder.path)).rejects.toThrow(
      /shards must be \.bin files in the index's own folder/,
    );
    await save(map);
    await rm(join(folder.path, two));
    await expect(openCheckpoint(folder.path)).rejects.toThrow(/1 of 2 shards cannot be read/);
  });

  test("leaves out of a folder what is said to be no weights", async () => {
    await using folder = await temporaryFolder();
    const [weights, other] = [join(folder.path, "a.pth"), join(folder.path, "case.safetensors")];
    await cp(fixture("plain.pth"), weights);
    await cp(fixture("plain.safetensors"), other);
    await expect(locateWeights(folder.path)).rejects.toThrow(/several files of weights/);
    expect(await locateWeights(folder.path, ["case.safetensors"])).toBe(weights);
    expect(await locateWeights(other, ["case.safetensors"])).toBe(other);
    const torch = join(folder.path, "pytorch_model.bin");
    for (const name of ["pytorch_model.bin", "training_args.bin"]) await cp(weights, join(folder.path, name));
    expect(await locateWeights(folder.path)).toBe(torch);
    await cp(other, join(folder.path, "model.safetensors"));
    expect(await locateWeights(folder.path)).toBe(folder.path);
  });

  test("says what is missing or ambiguous", async () => {
    await using folder = await temporaryFolder();
    await expect(openCheckpoint(join(folder.path, "x"))).rejects.toThrow(/does not exist/);
    await expect(openCheckpoint(folder.path)).rejects.toThrow(/expected model\.safetensors.*found none/);
    await cp(fixture("plain.pth"), join(folder.path, "a.pth"));
    await cp(fixture("plain.safetensors"), join(folder.path, "b.safetensors"));
    await expect(openCheckpoint(folder.path)).rejects.toThrow(
      /several files of weights \(a\.pth, b\.safetensors\)/,
    );
    await expect(openCheckpoint(fixture("evil.pth"))).rejects.toThrow(CheckpointError);
  });
});

test("one tiny model in the 14B and in the C layout loads to the same tensors", async () => {
  await using folder = await temporaryFolder();
  const pairs: readonly (readonly [ours: string, c: string])[] = [
    ["vision_model.embeddings.class_embedding", "cls_token"],
    ["vision_model.encoder.layers.0.ls1", "blocks.0.ls1.gamma"],
    ["vision_model.encoder.layers.0.attn.q_norm.weight", "blocks.0.attn.q_norm.weight"],
    ["qllama.model.embed_tokens.weight", "transformer.embed_tokens.weight"],
    [
      "qllama.model.layers.0.post_attention_layernorm.weight",
      "transformer.layers.0.post_attention_layernorm.weight",
    ],
    ["logit_scale", "logit_scale"],
  ];
  const value = (i: number) => f32([2], [i, -i / 4]);
  const half = new Map(pairs.map(([, c], i) => [c, castFloat(value(i), "f16")]));
  const full = new Map(pairs.map(([ours], i) => [ours, value(i)]));
  await mkdir(join(folder.path, "c"));
  await writeSafetensors(join(folder.path, "c", "model.safetensors"), half);
  await rename(join(folder.path, "c", "model.safetensors"), join(folder.path, "c", "other.safetensors"));
  await writeSafetensors(join(folder.path, "model.safetensors"), full);

  const expected = new Map(pairs.map(([ours]) => [ours, { shape: [2], dtype: "f32" as const }]));
  for (const place of [folder.path, join(folder.path, "c")]) {
    const { checkpoint, keys } = await openCheckpoint(place);
    const loaded = await loadCheckpoint(expected, checkpoint, { keys: keys! });
    for (const [key, source] of loaded) expect(await checkpoint.read(source), key).toEqual(full.get(key));
  }
});
