import { expect, test } from "vitest";
import { parseLabels } from "./label-form.ts";

test("labels are separated by the commas of several scripts, each is kept once", () => {
  expect(parseLabels(" cat, dog;bird\nfish，猫、 cat ,, ")).toEqual(["cat", "dog", "bird", "fish", "猫"]);
  expect(parseLabels("red apple")).toEqual(["red apple"]);
});
