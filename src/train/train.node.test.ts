import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { FolderLock } from "../core/folder-lock.node.ts";
import { train } from "./train.node.ts";

/** What ends a training before it begins; the runs themselves are in test/e2e/train.test.ts. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "recipes-"));
  const line = (split: string) => JSON.stringify({ image: "a.png", captions: ["a"], split });
  await writeFile(join(folder, "manifest.jsonl"), line("train"));
  await writeFile(join(folder, "heldout.jsonl"), line("heldout-a"));
});
afterAll(() => rm(folder, { recursive: true }));

const RECIPE = {
  stage: "contrastive",
  output: "run",
  model: {
    clip_embed_dim: 8,
    attn_pool_num_heads: 2,
    vision_config: {
      patch_size: 4,
      image_size: 8,
      hidden_size: 8,
      num_attention_heads: 2,
      num_hidden_layers: 1,
    },
    qllama_config: { hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 1 },
  },
  tokenizer: { train: {} },
  data: { manifest: "manifest.jsonl" },
  batch_size: 2,
  phases: [{ steps: 1 }],
  warmup_steps: 0,
};

async function problemOf(changes: object): Promise<string> {
  const path = join(folder, "recipe.json");
  await writeFile(path, JSON.stringify({ ...RECIPE, ...changes }));
  const error = await train(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message;
}

test("paths that name nothing are told together, with their fields", async () => {
  const message = await problemOf({
    data: { manifest: "no.jsonl", text_pairs: { file: "no-pairs.jsonl", batch_size: 2 } },
    tokenizer: { folder: "no-tokenizer" },
    init: "no-model",
  });
  expect(message).toContain("recipe.json");
  expect(message).toContain(`data.manifest: ${join(folder, "no.jsonl")} does not exist`);
  expect(message).toContain(`data.text_pairs.file: ${join(folder, "no-pairs.jsonl")} does not exist`);
  expect(message).toContain(`tokenizer.folder: ${join(folder, "no-tokenizer")} does not exist`);
  expect(message).toContain(`init: ${join(folder, "no-model")} does not exist`);
});

test("a manifest without pictures to train on", async () => {
  const message = await problemOf({ data: { manifest: "heldout.jsonl" } });
  expect(message).toContain("heldout.jsonl");
  expect(message).toContain('"train"');
});

test("more text pairs in a batch than there are", async () => {
  await writeFile(join(folder, "pairs.jsonl"), '{"texts":["a","b"]}\n');
  const data = { ...RECIPE.data, text_pairs: { file: "pairs.jsonl", batch_size: 2 } };
  expect(await problemOf({ data })).toMatch(
    /recipe\.json: data\.text_pairs\.batch_size: expected at most 1, the lines of pairs\.jsonl, found 2/,
  );
});

test("a held-out split that the manifest has not", async () => {
  const evaluation = { every: 1, splits: ["heldout-b"], languages: ["en"] };
  expect(await problemOf({ evaluation })).toContain('"heldout-b"');
});

test("a second run in the same folder", async () => {
  const output = join(folder, "run");
  await mkdir(output);
  await using _lock = await FolderLock.acquire(output);
  const path = join(folder, "recipe.json");
  await writeFile(path, JSON.stringify(RECIPE));
  await expect(train(path)).rejects.toThrow(`held by process ${process.pid}`);
});

test("groups that overlap or match nothing", async () => {
  const groups = [
    { name: "image", match: ["vision_model.*"], lr: 1e-3 },
    { name: "all", match: ["*"], lr: 1e-3 },
    { name: "typo", match: ["text_projektion"], lr: 1e-3 },
  ];
  const message = await problemOf({ optimizer: { groups } });
  expect(message).toContain("recipe.json: optimizer.groups");
  expect(message).toContain('"image" and "all"');
  expect(message).toContain('"text_projektion"');
});

test("an architecture that does not exist", async () => {
  const model = { ...RECIPE.model, vision_config: { ...RECIPE.model.vision_config, hidden_size: 9 } };
  expect(await problemOf({ model })).toMatch(/recipe\.json: model: .*hidden_size 9.*num_attention_heads 2/);
});

test("a recipe that is missing, or no JSON", async () => {
  await expect(train(join(folder, "none.json"))).rejects.toThrow(/none\.json: cannot be read \(ENOENT\)/);
  const path = join(folder, "broken.json");
  await writeFile(path, "{");
  await expect(train(path)).rejects.toThrow(/broken\.json: not JSON/);
});
