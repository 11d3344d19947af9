import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";

/** What the training tests share: ten pictures with captions, and a recipe for a model of a few thousand weights. */

const COLOURS = ["red", "green", "blue", "yellow", "black"] as const;
const SHAPES = {
  circle: '<circle cx="12" cy="12" r="9"/>',
  square: '<rect x="4" y="4" width="16" height="16"/>',
} as const;

/** A new folder with pictures/, manifest.jsonl and nothing else. */
export async function makeWorkplace(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "train-"));
  await mkdir(join(folder, "pictures"));
  const lines: string[] = [];
  for (const colour of COLOURS)
    for (const [shape, body] of Object.entries(SHAPES)) {
      const image = `pictures/${colour}-${shape}.png`;
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><rect width="24" height="24" fill="white"/><g fill="${colour}">${body}</g></svg>`;
      await sharp(Buffer.from(svg)).png().toFile(join(folder, image));
      lines.push(JSON.stringify({ image, captions: { en: [`${colour} ${shape}`] } }));
    }
  await writeFile(join(folder, "manifest.jsonl"), `${lines.join("\n")}\n`);
  return folder;
}

export const MODEL = {
  clip_embed_dim: 16,
  attn_pool_num_heads: 2,
  vision_config: {
    patch_size: 4,
    image_size: 16,
    hidden_size: 32,
    num_attention_heads: 2,
    intermediate_size: 64,
    num_hidden_layers: 2,
  },
  qllama_config: {
    hidden_size: 32,
    intermediate_size: 48,
    num_attention_heads: 2,
    num_hidden_layers: 1,
    max_position_embeddings: 80,
  },
};

type Fields = Readonly<Record<string, unknown>>;

/** A recipe of one phase of 12 steps; `changes` replace whole fields. */
export const recipeOf = (changes: Fields = {}): Fields => ({
  stage: "contrastive",
  output: "run",
  seed: 3,
  model: MODEL,
  tokenizer: { train: { vocab_size: 320, character_coverage: 1 } },
  max_text_tokens: 16,
  data: { manifest: "manifest.jsonl", augmentation: { scale: [0.8, 1] }, cache_mb: 8 },
  batch_size: 8,
  phases: [{ steps: 12 }],
  warmup_steps: 2,
  optimizer: { groups: [{ name: "all", match: ["*"], lr: 0.003 }] },
  checkpoint_every: 4,
  ...changes,
});

/** Writes a recipe into the workplace and returns its path; its output is the folder of the same name. */
export async function writeRecipe(folder: string, name: string, changes: Fields = {}): Promise<string> {
  const path = join(folder, `${name}.json`);
  await writeFile(path, JSON.stringify(recipeOf({ output: name, ...changes })));
  return path;
}

export const sha256 = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

/** The measured losses of a run, as written. */
export async function losses(output: string): Promise<number[]> {
  const text = await readFile(join(output, "metrics.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { loss: number }).loss);
}
