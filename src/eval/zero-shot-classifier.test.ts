import { expect, test } from "vitest";
import type { Embedder } from "../infer/embedder.ts";
import { ZeroShotClassifier } from "./zero-shot-classifier.ts";

/** Texts become unit vectors by a table; what was asked is recorded. */
function tableEmbedder(table: Record<string, number[]>, asked: string[][] = []): Embedder {
  return {
    id: "table",
    dimension: 2,
    imageSize: 1,
    scale: 20,
    embedImages: () => Promise.reject(new Error("no pictures here")),
    embedTexts: async (texts) => {
      asked.push([...texts]);
      return texts.map((text) => Float32Array.from(table[text] ?? [Number.NaN, 0]));
    },
    countTokens: (texts) => texts.map(() => 1),
    [Symbol.asyncDispose]: async () => {},
  };
}

const table = { "a cat": [1, 0], "the cat": [0, 1], "a dog": [0, -1], "the dog": [0, -1] };

test("a class is the normalised mean of its prompts; duplicated templates count twice", async () => {
  const plain = await ZeroShotClassifier.build(tableEmbedder(table), ["cat", "dog"], ["a {c}", "the {c}"]);
  expect([...plain.weights.data].map((v) => v.toFixed(4))).toEqual(["0.7071", "0.7071", "0.0000", "-1.0000"]);

  const twice = await ZeroShotClassifier.build(
    tableEmbedder(table),
    ["cat"],
    ["a {c}", "the {c}", "the {c}"],
  );
  expect([...twice.weights.data].map((v) => v.toFixed(4))).toEqual(["0.4472", "0.8944"]);
});

test("scores are 100 cosines, probabilities a softmax with the model's scale", async () => {
  const classifier = await ZeroShotClassifier.build(tableEmbedder(table), ["cat", "dog"], ["the {c}"]);
  const image = Float32Array.of(0.8, 0.6);
  expect([...classifier.scores(image)].map((v) => v.toFixed(3))).toEqual(["60.000", "-60.000"]);
  const expected = 1 / (1 + Math.exp(-20 * 1.2));
  expect(classifier.probabilities(image)[0]).toBeCloseTo(expected, 6);
  expect(() => classifier.scores(Float32Array.of(1))).toThrow(/width 1, expected 2/);
});

test("prompts are embedded in batches that may cut through a class", async () => {
  const asked: string[][] = [];
  const progress: number[] = [];
  const options = { batchSize: 3, onProgress: ({ done }: { done: number }) => progress.push(done) };
  const whole = await ZeroShotClassifier.build(tableEmbedder(table), ["cat", "dog"], ["a {c}", "the {c}"]);
  const cut = await ZeroShotClassifier.build(
    tableEmbedder(table, asked),
    ["cat", "dog"],
    ["a {c}", "the {c}"],
    options,
  );
  expect(asked).toEqual([["a cat", "the cat", "a dog"], ["the dog"]]);
  expect(progress).toEqual([3, 4]);
  expect(cut.weights.data).toEqual(whole.weights.data);
});

test("label text is taken literally", async () => {
  const asked: string[][] = [];
  await ZeroShotClassifier.build(tableEmbedder({ "a $& b $& b": [1, 0] }, asked), ["$& b"], ["a {c} {c}"]);
  expect(asked).toEqual([["a $& b $& b"]]);
});

test("all problems of labels and templates are told at once", async () => {
  const build = ZeroShotClassifier.build(tableEmbedder({}), ["cat", " "], ["a photo"]);
  await expect(build).rejects.toThrow(
    'label 2 is empty; template "a photo" does not say where the label goes: write {c} there',
  );
  await expect(ZeroShotClassifier.build(tableEmbedder({}), [], [])).rejects.toThrow(
    "there are no labels; there are no templates",
  );
});
