import { expect, test } from "vitest";
import { fitWithin } from "./shrink-picture.ts";

test("a size that fits keeps its shape and is never larger", () => {
  expect(fitWithin(4000, 3000, 2048)).toEqual({ width: 2048, height: 1536 });
  expect(fitWithin(100, 50, 2048)).toEqual({ width: 100, height: 50 });
  expect(fitWithin(100_000, 3, 2048)).toEqual({ width: 2048, height: 1 });
});
