import { expect, test } from "vitest";
import { didYouMean } from "./suggest.ts";

test("near names are suggested, otherwise all are listed", () => {
  expect(didYouMean("cifra10", ["cifar10", "mnist"])).toBe(", did you mean cifar10?");
  expect(didYouMean("EN", ["en", "cn"])).toBe(", did you mean en?");
  expect(didYouMean("whatever", ["cifar10", "mnist"])).toBe("; known: cifar10, mnist");
});
