import { expect, test } from "vitest";
import { unsupportedLine } from "./index-folders.ts";

test.each([
  [{}, undefined],
  [{ ".heic": 1 }, "1 .heic file is not read: convert it to JPEG first"],
  [{ ".heic": 1500 }, "1,500 .heic files are not read: convert them to JPEG first"],
  [
    { ".bmp": 1, ".heic": 20, ".cr2": 3 },
    "20 .heic, 3 .cr2 and 1 .bmp files are not read: convert them to JPEG first",
  ],
])("%j", (unsupported, line) => {
  expect(unsupportedLine(unsupported)).toBe(line);
});
