import { expect, test } from "vitest";
import { assignClasses, imagenetNames } from "./class-names.ts";
import {
  datasetTemplates,
  IMAGENET_LANGUAGES,
  imagenetClassNames,
  imagenetTemplates,
  imagenetWnids,
} from "./imagenet.node.ts";

test("folder names become phrases, in code-point order", () => {
  const { names, labelOf } = assignClasses("pets", ["sea_turtle", "Zebra", "ant", "ant"]);
  expect(names).toEqual(["Zebra", "ant", "sea turtle"]);
  expect(labelOf.get("sea_turtle")).toBe(2);
});

test("a list of names goes by the sorted folders, a record by name", () => {
  expect(assignClasses("d", ["b", "a"], ["first", "second"]).names).toEqual(["first", "second"]);
  expect(assignClasses("d", ["b", "a"], { a: "ant", b: "bee", c: "cat" }).names).toEqual(["ant", "bee"]);
  expect(() => assignClasses("d", ["b", "a"], ["one"])).toThrow("d: 2 classes, but 1 class names");
  expect(() => assignClasses("d", ["b", "a"], { a: "ant" })).toThrow(
    "1 of 2 classes have no name (first: b)",
  );
});

test("folders named by WordNet id take their own ImageNet classes, others all of them in order", () => {
  const imagenet = { names: ["tench", "goldfish", "great white shark"], wnids: ["n01", "n02", "n03"] };
  expect(assignClasses("a", ["n03", "n01"], imagenetNames(["n03", "n01"], imagenet)).names).toEqual([
    "tench",
    "great white shark",
  ]);
  expect(imagenetNames(["x", "y", "n03"], imagenet)).toEqual(imagenet.names);
});

// Counts of the published protocol: templates in all and distinct.
const COUNTS = { en: [80, 80], cn: [80, 78], jp: [37, 37], ar: [55, 55], it: [49, 46] } as const;

test.each(IMAGENET_LANGUAGES)("ImageNet names and templates in %s are complete", async (language) => {
  const templates = await imagenetTemplates(language);
  expect([templates.length, new Set(templates).size]).toEqual(COUNTS[language]);
  expect(templates.every((t) => t.includes("{c}"))).toBe(true);
  const names = await imagenetClassNames(language);
  expect(names).toHaveLength(1000);
  expect(names.every((n) => n.trim() !== "")).toBe(true);
});

test("names and WordNet ids are in one order", async () => {
  const names = await imagenetClassNames("en");
  const wnids = await imagenetWnids();
  expect(wnids).toHaveLength(1000);
  expect(wnids).toEqual([...wnids].sort());
  expect([wnids[0], names[0], wnids[999], names[999]]).toEqual([
    "n01440764",
    "tench",
    "n15075141",
    "toilet paper",
  ]);
});

test("templates of the other data sets have the published counts", async () => {
  const templates = await datasetTemplates();
  const counts = Object.fromEntries(Object.entries(templates).map(([name, list]) => [name, list.length]));
  expect(counts).toMatchObject({
    cifar10: 18,
    mnist: 1,
    caltech101: 34,
    sun397: 2,
    country211: 5,
    cars: 8,
    dtd: 8,
  });
  expect(Object.keys(counts)).toHaveLength(19);
});
