import { expect, test } from "vitest";
import { isPlainName, parseHubName } from "./hub-name.ts";

test.each([
  ["OpenGVLab/InternVL3-1B", ["OpenGVLab", "InternVL3-1B", undefined, "main"]],
  ["a/b@v1.0", ["a", "b", undefined, "v1.0"]],
  ["a/b@refs/pr/3", ["a", "b", undefined, "refs/pr/3"]],
  ["a/b-GGUF/Q8_0.gguf", ["a", "b-GGUF", "Q8_0.gguf", "main"]],
  ["a/b/Q4/model.gguf@main", ["a", "b", "Q4/model.gguf", "main"]],
  [
    "OpenGVLab/InternVL/internvl_c_13b_224px.pth",
    ["OpenGVLab", "InternVL", "internvl_c_13b_224px.pth", "main"],
  ],
])("%s is a name on the hub", (text, [owner, name, file, revision]) => {
  expect(parseHubName(text)).toEqual({ owner, name, file, revision });
});

test.each([
  ...[
    "",
    "InternVL3-1B",
    "./a/b",
    "../a/b",
    "/a/b",
    "~/a/b",
    "a//b",
    "a/b/",
    "a/b/c",
    "a/b/c.txt",
    "a/model.gguf",
  ],
  ...["a/..", "../b", "a/b@", "a/b@../x", "a/b@-x", "a/b@x//y", "a/b--c", "a/b/../c.gguf", "a/b\\c", "a b/c"],
  ...["https://huggingface.co/a/b", "a/b/..\\c.gguf", "a/b/C:c.gguf", `a/${"b".repeat(97)}`],
])("%j is none", (text) => {
  expect(parseHubName(text)).toBeUndefined();
});

test("plain names stay in their folder", () => {
  expect(["a.json", "a b", ".gitattributes"].every(isPlainName)).toBe(true);
  expect(["", ".", "..", "a/b", "a\\b", "C:a", "a\n"].some(isPlainName)).toBe(false);
});
