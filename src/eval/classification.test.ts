import { expect, test } from "vitest";
import { evaluateClassification } from "./classification.ts";
import { colourEmbedder, loadColour } from "./colour-embedder.fixture.ts";

const options = {
  loadImage: loadColour,
  classNames: ["red", "green", "blue", "yellow"],
  templates: ["a {c} thing", "{c}"],
};

test("pictures are scored against the mean of each class's prompts", async () => {
  const items = [
    { path: "red.png", label: 0 },
    { path: "red-2.png", label: 0 },
    { path: "green.png", label: 1 },
    { path: "blue.png", label: 1 }, // wrong
    { path: "yellow.png", label: 3 },
  ];
  const result = await evaluateClassification(colourEmbedder(), items, { ...options, batchSize: 2 });
  expect(result).toEqual({
    model: "colours-1",
    acc1: 4 / 5,
    acc5: Number.NaN,
    mean_per_class_recall: (1 + 1 / 2 + 1) / 3,
    images: 5,
    classes: 4,
    templates: 2,
  });
});

test("prompts and pictures report progress; no pictures and broken ones are errors", async () => {
  const seen: string[] = [];
  await evaluateClassification(colourEmbedder(), [{ path: "red.png", label: 0 }], {
    ...options,
    onProgress: ({ phase, done, total }) => seen.push(`${phase} ${done}/${total}`),
  });
  expect(seen).toEqual(["prompts 8/8", "pictures 1/1"]);
  await expect(evaluateClassification(colourEmbedder(), [], options)).rejects.toThrow("no pictures to score");
  const broken = evaluateClassification(colourEmbedder(), [{ path: "broken.png", label: 0 }], options);
  await expect(broken).rejects.toThrow("1 of 1 pictures cannot be read");
});
