import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError } from "../../src/core/errors.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { type TrainEvent, type TrainOptions, train } from "../../src/train/train.node.ts";
import { decodeImage } from "../../src/vision/decode.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { losses, sha256 } from "./train-support.ts";

/** A chat model of a few thousand weights that is trained until it answers about four pictures of the gallery. */

const GALLERY = fileURLToPath(new URL("../../gallery", import.meta.url));

const ANSWERS = [
  ["animals/frog.webp", "a frog", "green"],
  ["animals/crab.webp", "a crab", "red"],
  ["animals/elephant.webp", "an elephant", "grey"],
  ["animals/baby-chick.webp", "a chick", "yellow"],
] as const;

const MODEL = {
  template: "internvl2_5",
  system_message: "",
  force_image_size: 28,
  ps_version: "v2",
  vision_config: {
    patch_size: 7,
    image_size: 28,
    hidden_size: 32,
    num_attention_heads: 2,
    intermediate_size: 48,
    num_hidden_layers: 2,
    qk_normalization: false,
    qkv_bias: true,
    norm_type: "layer_norm",
    initializer_range: 0.1,
    initializer_factor: 1,
  },
  llm_config: {
    architectures: ["Qwen2ForCausalLM"],
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 256,
    rms_norm_eps: 1e-6,
    initializer_range: 0.08,
    tie_word_embeddings: true,
  },
};

const turn = (from: string, value: string) => ({ from, value });
const line = (row: object) => `${JSON.stringify(row)}\n`;

/** Two questions about each picture, in either order, and one about none. */
const rows = () => [
  ...ANSWERS.flatMap(([image, name, colour]) => {
    const what = [turn("human", "What is this?"), turn("gpt", name)];
    const which = [turn("human", "Which colour?"), turn("gpt", colour)];
    return [what, which, [...what, ...which], [...which, ...what]].map((conversations) =>
      line({ image, conversations }),
    );
  }),
  ...[0, 1].map(() => line({ conversations: [turn("human", "Hello"), turn("gpt", "hello there")] })),
];

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

/** A recipe in the folder; its output has its name. */
async function write(name: string, changes: object = {}): Promise<string> {
  const path = at(`${name}.json`);
  const recipe = {
    stage: "sft",
    output: name,
    model: { config: MODEL, tokenizer: { train: { vocab_size: 320, character_coverage: 1 } } },
    max_tokens: 64,
    data: { annotation: "rows.jsonl", root: "gallery", cache_mb: 8 },
    batch_size: 6,
    steps: STEPS,
    warmup_steps: 10,
    optimizer: { weight_decay: 0, groups: [{ name: "all", match: ["*"], lr: 4e-3 }] },
    evaluation: { every: STEPS / 2, annotation: "held-out.jsonl" },
    ...changes,
  };
  await writeFile(path, JSON.stringify(recipe));
  return path;
}

const STEPS = 240;
const run = async (name: string, changes: object = {}, options: TrainOptions = {}): Promise<string> =>
  (await train(await write(name, changes), { threads: 1, ...options })).output;

const events: TrainEvent[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "train-chat-"));
  await mkdir(at("gallery"));
  const { symlink } = await import("node:fs/promises");
  await rm(at("gallery"), { recursive: true });
  await symlink(GALLERY, at("gallery"));
  await writeFile(at("rows.jsonl"), rows().join(""));
  await writeFile(at("held-out.jsonl"), rows().slice(0, 7).join(""));
  await run("plain", {}, { onProgress: (event) => events.push(event) });
});
afterAll(() => rm(folder, { recursive: true }));

/** The greedy answer to a question, with the gallery's picture. */
async function answers(output: string, questions: readonly (readonly [string | undefined, string])[]) {
  await using model = await loadChatModel(output, { threads: 1 });
  const all: string[] = [];
  for (const [image, text] of questions) {
    const picture = image && (await decodeImage(join(GALLERY, image), { alpha: "drop" }));
    const parts = picture ? [{ type: "image" as const, image: picture }] : [];
    const content = [...parts, { type: "text" as const, text }];
    let answer = "";
    for await (const chunk of model.chat([{ role: "user", content }], { temperature: 0, maxTokens: 16 }))
      answer += chunk.text;
    all.push(answer);
  }
  return all;
}

const QUESTIONS = ANSWERS.flatMap(([image]) => [
  [image, "What is this?"] as const,
  [image, "Which colour?"] as const,
]);
const EXPECTED = ANSWERS.flatMap(([, name, colour]) => [name, colour]);

describe("a chat model that was trained", () => {
  test("answers what it was taught, through the folder that was written", async () => {
    expect(await answers(at("plain"), [...QUESTIONS, [undefined, "Hello"]])).toEqual([
      ...EXPECTED,
      "hello there",
    ]);
    const config = JSON.parse(await readFile(at("plain", "config.json"), "utf8"));
    expect(config).toMatchObject({ model_type: "internvl_chat", template: "internvl2_5" });
  });

  test("had a falling loss, also of rows that it was measured on", async () => {
    const all = await losses(at("plain"));
    expect(all).toHaveLength(STEPS);
    // Guessing among some 325 tokens is ln 325 = 5.8.
    expect(all[0]).toBeGreaterThan(4.5);
    expect(Math.max(...all.slice(-10))).toBeLessThan(0.2);
    const measured = events.flatMap(({ step, heldOutLoss }) =>
      heldOutLoss === undefined ? [] : [[step, heldOutLoss] as const],
    );
    expect(measured.map(([step]) => step)).toEqual([STEPS / 2, STEPS]);
    expect(measured[1]![1]).toBeLessThan(0.1);
  });
});
