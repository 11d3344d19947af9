import { expect, test } from "vitest";
import { recordedLimits } from "./recorded-limits.ts";
import { UPDATE_LIMITS } from "./update.ts";

const { maxPixels, maxBytes } = UPDATE_LIMITS;

test("a picture may be what it was when it was indexed, within what any may be", () => {
  expect(recordedLimits({ width: 100, height: 100, sizeBytes: 1000 })).toEqual({ maxPixels, maxBytes });
  expect(recordedLimits({ width: 20_000, height: 10_000, sizeBytes: 300_000_000 })).toEqual({
    maxPixels: 200_000_000,
    maxBytes: 300_000_000,
  });
  expect(recordedLimits({ width: 1e5, height: 1e5, sizeBytes: 1e10 })).toEqual({
    maxPixels: 2 ** 31 - 1,
    maxBytes: 2 ** 31 - 1,
  });
});
