import { expect, test } from "vitest";
import { ConfigError } from "../core/errors.ts";
import { parseRecipe, recipeIdentity } from "./recipe.ts";
import type { SftRecipe } from "./sft-recipe.ts";

const SMALLEST = {
  stage: "sft",
  output: "out",
  model: { checkpoint: "model" },
  data: { annotation: "rows.jsonl" },
  batch_size: 1,
  steps: 10,
  warmup_steps: 2,
};

const parse = (changes: object = {}) => parseRecipe({ ...SMALLEST, ...changes }, "recipe.json") as SftRecipe;

function problemOf(changes: object): string {
  try {
    parse(changes);
  } catch (e) {
    expect(e).toBeInstanceOf(ConfigError);
    return (e as Error).message;
  }
  return expect.fail("no error");
}

test("fills in what published fine-tuning used", () => {
  const { optimizer, loss_reduction, data } = parse();
  expect(optimizer).toMatchObject({ betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.05 });
  expect(optimizer.groups).toEqual([{ name: "all", match: ["*"], lr: 4e-5 }]);
  expect(loss_reduction).toBe("token");
  expect(data.augmentation).toBeUndefined();
});

const config = { template: "internvl2_5", llm_config: {} };

test.each([
  ["unknown fields", { phases: [{ steps: 1 }] }, "phases"],
  ["a checkpoint beside a configuration", { model: { checkpoint: "a", config } }, "model"],
  ["a configuration without a tokenizer", { model: { config } }, "model"],
  ["a reduction that is none", { loss_reduction: "mean" }, "loss_reduction"],
  ["a warm-up that never ends", { warmup_steps: 11 }, "warmup_steps"],
  ["a row of one token", { max_tokens: 1 }, "max_tokens"],
  ["no steps", { steps: 0 }, "steps"],
  ["fields of another stage", { data: { manifest: "m.jsonl" } }, "annotation"],
])("refuses %s and names the field", (_, changes, field) => {
  expect(problemOf(changes)).toContain(field);
});

test("a run is continued with the recipe that changes the weights, and any that does not", () => {
  const base = recipeIdentity(parse());
  const may = { output: "o", checkpoint_every: 7, evaluation: { every: 1, annotation: "h.jsonl" } };
  expect(recipeIdentity(parse({ ...may, export_precision: "w8" }))).toBe(base);
  for (const changes of [
    { seed: 1 },
    { steps: 11 },
    { loss_reduction: "square" },
    { model: { checkpoint: "other" } },
    { data: { annotation: "rows.jsonl", root: "elsewhere" } },
  ])
    expect(recipeIdentity(parse(changes))).not.toBe(base);
});
