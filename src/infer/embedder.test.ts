import { expect, test } from "vitest";
import { formatId, parseId } from "./embedder.ts";

test.each([
  ["nano@0123456789ab", { name: "nano", precision: undefined, fingerprint: "0123456789ab" }],
  ["nano:w8@0123456789ab", { name: "nano", precision: "w8", fingerprint: "0123456789ab" }],
  ["a@b:c w4@ff", { name: "a@b:c w4", precision: undefined, fingerprint: "ff" }],
  ["a:w9@ff", { name: "a:w9", precision: undefined, fingerprint: "ff" }],
])("%s is taken apart and put together", (id, parts) => {
  expect(parseId(id)).toEqual(parts);
  expect(formatId(parts)).toBe(id);
});

test("an id of another form is all fingerprint", () => {
  expect(parseId("my-model v2")).toEqual({
    name: "my-model v2",
    precision: undefined,
    fingerprint: "my-model v2",
  });
});
