import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HostTensor, rawBytes } from "../../src/core/array.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { loadChatModel } from "../../src/infer/load-chat-model.node.ts";
import { type TrainEvent, type TrainOptions, train } from "../../src/train/train.node.ts";
import { decodeImage } from "../../src/vision/decode.node.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";
import { losses, sha256 } from "./train-support.ts";

/** A chat model of a few thousand weights that is trained until it answers about four pictures of the gallery. */

const GALLERY = fileURLToPath(new URL("../../gallery", import.meta.url));

const NANO = fileURLToPath(new URL("../../nano", import.meta.url));

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

async function tensorsOf(path: string): Promise<Map<string, HostTensor>> {
  const file = await openSafetensors(path);
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of file.tensors) tensors.set(key, await file.read(source));
  return tensors;
}

const SHORT = { steps: 6, warmup_steps: 0, checkpoint_every: 1000 };
/** The projector alone, from the trained model. */
const TUNED = {
  ...SHORT,
  model: { checkpoint: "plain" },
  loss_reduction: "square",
  optimizer: { groups: [{ name: "projector", match: ["mlp1.*"], lr: 1e-3 }] },
};

describe("a chat model that is trained on", () => {
  test("keeps what no group trains bit for bit, and its tokenizer", async () => {
    await run("tuned", TUNED);
    const [before, after] = [
      await tensorsOf(at("plain", "model.safetensors")),
      await tensorsOf(at("tuned", "model.safetensors")),
    ];
    expect([...after.keys()]).toEqual([...before.keys()]);
    const moved = [...before.keys()].filter(
      (key) => Buffer.compare(rawBytes(before.get(key)!), rawBytes(after.get(key)!)) !== 0,
    );
    expect(moved).toHaveLength(6);
    expect(moved.every((key) => key.startsWith("mlp1."))).toBe(true);
    for (const name of ["tokenizer.model", "tokenizer_config.json"])
      expect(await sha256(at("tuned", name))).toBe(await sha256(at("plain", name)));
    // It knows the rows already.
    expect((await losses(at("tuned")))[0]).toBeLessThan(0.2);
  });

  test("and stopped goes on to the same weights, bit for bit", async () => {
    for (const [whole, changes] of [
      ["tuned", TUNED],
      ["anew", { ...SHORT, data: { annotation: "rows.jsonl", root: "gallery", augmentation: {} } }],
    ] as const) {
      if (whole === "anew") await run(whole, changes);
      const cancel = new AbortController();
      const onProgress = ({ step }: TrainEvent) => {
        if (step === 3) cancel.abort(new Error("stopped by the test"));
      };
      const stopped = run(`${whole}-2`, changes, { signal: cancel.signal, onProgress });
      await expect(stopped).rejects.toThrow("stopped by the test");
      await run(`${whole}-2`, changes);
      expect(await losses(at(`${whole}-2`))).toEqual(await losses(at(whole)));
      expect(await sha256(at(`${whole}-2`, "model.safetensors"))).toBe(
        await sha256(at(whole, "model.safetensors")),
      );
    }
  });

  test("in 8 bits answers as before, and can be trained on from there", async () => {
    const hardly = { optimizer: { groups: [{ name: "all", match: ["*"], lr: 1e-7 }] } };
    await run("eight", { ...TUNED, ...hardly, export_precision: "w8" });
    expect(JSON.parse(await readFile(at("eight", "config.json"), "utf8")).precision).toBe("w8");
    expect(await answers(at("eight"), QUESTIONS)).toEqual(EXPECTED);
    await run("from-eight", { ...TUNED, ...hardly, steps: 1, model: { checkpoint: "eight" } });
    expect((await losses(at("from-eight")))[0]).toBeLessThan(0.3);
    // The tower alone, and a language model that is new.
    const parts = {
      config: MODEL,
      tokenizer: { folder: "plain" },
      vision_model: "eight",
      language_model: "plain",
    };
    await run("parts", { ...SHORT, steps: 1, model: parts });
    const [eight, tower] = [
      await tensorsOf(at("plain", "model.safetensors")),
      await tensorsOf(at("parts", "model.safetensors")),
    ];
    const key = "vision_model.encoder.layers.1.attn.qkv.weight";
    const [a, b] = [eight.get(key)!.data as Float32Array, tower.get(key)!.data as Float32Array];
    const largest = Math.max(...a.map(Math.abs));
    // One step of AdamW moves a weight by its rate, and 8 bits round by a 256th of a block's largest.
    expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))).toBeLessThan(4e-3 + largest / 100);
  });

  test("is told of rows that are left out", async () => {
    const told: string[] = [];
    const onBroken = (path: string, reason: string) => told.push(`${path}: ${reason}`);
    const long = [turn("human", "What is this?"), turn("gpt", "word ".repeat(100))];
    const joined = [turn("human", "What is this?"), turn("gpt", "")];
    const extra = [long, joined].map((conversations) => line({ image: ANSWERS[0][0], conversations }));
    await writeFile(at("more.jsonl"), [...rows(), ...extra].join(""));
    const data = { annotation: "more.jsonl", root: "gallery" };
    await run("longer", { ...SHORT, steps: 1, data }, { onBroken });
    expect(told).toEqual([`${at("more.jsonl")}: 1 of 20 rows are longer than 64 tokens (max_tokens)`]);
  });
});

describe("a recipe that cannot be trained", () => {
  const model = { config: MODEL, tokenizer: { folder: "plain" } };
  test.each<[string, object, string]>([
    ["a path that names nothing", { model: { checkpoint: "none" } }, "model.checkpoint: "],
    [
      "a template that is none",
      { model: { ...model, config: { ...MODEL, template: "x" } } },
      '"x"; models with',
    ],
    ["an unknown field", { model: { ...model, config: { ...MODEL, image_fold: 1, fold: 1 } } }, "fold"],
    [
      "a language model of another kind",
      { model: { ...model, config: { ...MODEL, llm_config: { architectures: ["Bert"] } } } },
      '"Bert" is not known',
    ],
    [
      "a tower of other heads",
      {
        model: {
          ...model,
          config: { ...MODEL, vision_config: { ...MODEL.vision_config, num_attention_heads: 4 } },
          vision_model: "plain",
        },
      },
      "num_attention_heads 2, the recipe 4",
    ],
    ["a batch of more rows than there are", { batch_size: 30 }, "at most the 18 rows"],
    [
      "a group that matches nothing",
      { optimizer: { groups: [{ name: "a", match: ["qllama.*"], lr: 1 }] } },
      "qllama",
    ],
    ["a contrastive model", { model: { checkpoint: NANO } }, "model_type"],
  ])("%s", async (_, changes, message) => {
    const error: unknown = await run("wrong", changes).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(message);
  });
});
