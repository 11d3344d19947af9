import { describe, expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { type ContrastiveRecipe, modelConfigAt, totalSteps } from "./contrastive-recipe.ts";
import { parseRecipe, recipeIdentity } from "./recipe.ts";

const SMALLEST = {
  stage: "contrastive",
  output: "out",
  model: { vision_config: { image_size: 56, patch_size: 14 } },
  tokenizer: { folder: "tokenizer" },
  data: { manifest: "manifest.jsonl" },
  batch_size: 8,
  phases: [{ steps: 10 }],
  warmup_steps: 2,
};

const parse = (changes: object = {}) =>
  parseRecipe({ ...SMALLEST, ...changes }, "recipe.json") as ContrastiveRecipe;

function problemOf(changes: object): string {
  try {
    parse(changes);
  } catch (e) {
    expect(e).toBeInstanceOf(ConfigError);
    expect((e as Error).message).toContain("recipe.json");
    return (e as Error).message;
  }
  return expect.fail("no error");
}

describe("parseRecipe", () => {
  test("fills in what the paper's stage 1 used", () => {
    const recipe = parse();
    expect(recipe.optimizer.betas).toEqual([0.9, 0.95]);
    expect(recipe.optimizer.groups.map((g) => g.lr)).toEqual([1e-3, 1e-4]);
    expect(recipe.recompute).toBe(false);
  });

  test.each([
    ["unknown fields", { colour: "red" }, "colour"],
    ["unknown fields inside", { data: { manifest: "m", wrokers: 2 } }, "wrokers"],
    ["unknown fields of the architecture", { model: { vision_config: { depth: 3 } } }, "depth"],
    ["smoothed labels, which stage 1 has not", { model: { label_smoothing: 0.1 } }, "model.label_smoothing"],
    ["another stage", { stage: "preference" }, "stage"],
    ["no phase", { phases: [] }, "phases"],
    ["a phase without steps", { phases: [{ steps: 0 }] }, "phases[0].steps"],
    ["a phase that keeps nothing", { phases: [{ steps: 1, keep_patches: 0 }] }, "phases[0].keep_patches"],
    ["a phase that keeps too much", { phases: [{ steps: 1, keep_patches: 1.5 }] }, "phases[0].keep_patches"],
    [
      "pictures that are no whole number of patches",
      { phases: [{ steps: 5 }, { steps: 5, image_size: 60 }] },
      "phases[1].image_size",
    ],
    ["a warm-up that never ends", { warmup_steps: 11 }, "warmup_steps"],
    ["a batch of one", { batch_size: 1 }, "batch_size"],
    ["a drop path of everything", { drop_path: 1 }, "drop_path"],
    ["a beta of 1", { optimizer: { betas: [0.9, 1] } }, "betas[1]"],
    ["texts longer than the model's", { max_text_tokens: 81 }, "max_text_tokens"],
    ["a tokenizer of both kinds", { tokenizer: { folder: "t", train: {} } }, "tokenizer"],
    [
      "one name for two groups",
      {
        optimizer: {
          groups: [
            { name: "a", match: ["vision_model.*"], lr: 1 },
            { name: "a", match: ["qllama.*"], lr: 1 },
          ],
        },
      },
      "groups[1].name",
    ],
  ])("refuses %s and names the field", (_, changes, field) => {
    expect(problemOf(changes)).toContain(field);
  });

  test("tells all problems at once", () => {
    const message = problemOf({ batch_size: 0, warmup_steps: -1, colour: "red" });
    for (const field of ["batch_size", "warmup_steps", "colour"]) expect(message).toContain(field);
  });

  test("a recipe that is no object", () => {
    expect(() => parseRecipe(null, "recipe.json")).toThrow(ConfigError);
  });
});

describe("phases", () => {
  const recipe = parse({ phases: [{ steps: 3, image_size: 28 }, { steps: 2 }] });

  test("the steps of all make those of the run", () => {
    expect(totalSteps(recipe)).toBe(5);
  });

  test("a phase's model has its image size, and the architecture's where it has none", () => {
    expect(modelConfigAt(recipe, 0).vision_config.image_size).toBe(28);
    expect(modelConfigAt(recipe, 1)).toBe(recipe.model);
    const forced = parse({
      model: { ...SMALLEST.model, force_image_size: 70 },
      phases: [{ steps: 9, image_size: 28 }, { steps: 1 }],
    });
    expect(modelConfigAt(forced, 0)).toMatchObject({
      force_image_size: null,
      vision_config: { image_size: 28 },
    });
    expect(modelConfigAt(forced, 1).force_image_size).toBe(70);
  });
});

describe("recipeIdentity", () => {
  const base = recipeIdentity(parse());

  test.each([
    ["output", { output: "elsewhere" }],
    ["checkpoint_every", { checkpoint_every: 7 }],
    ["keep_checkpoints", { keep_checkpoints: 9 }],
    ["export_precision", { export_precision: "w8" }],
    ["recompute", { recompute: true }],
    ["workers and cache", { data: { manifest: "manifest.jsonl", workers: 3, cache_mb: 1 } }],
  ])("%s may change", (_, changes) => {
    expect(recipeIdentity(parse(changes))).toBe(base);
  });

  test.each([
    ["seed", { seed: 1 }],
    ["batch_size", { batch_size: 9 }],
    ["phases", { phases: [{ steps: 11 }] }],
    ["drop_path", { drop_path: 0.1 }],
    ["the augmentation", { data: { manifest: "manifest.jsonl", augmentation: { flip: 0.5 } } }],
    ["the colours", { data: { manifest: "manifest.jsonl", augmentation: { color: { grayscale: 0.1 } } } }],
    [
      "text pairs",
      { data: { manifest: "manifest.jsonl", text_pairs: { file: "pairs.jsonl", batch_size: 2 } } },
    ],
    ["init", { init: "model" }],
  ])("%s may not", (_, changes) => {
    expect(recipeIdentity(parse(changes))).not.toBe(base);
  });
});
