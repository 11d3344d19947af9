import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { looksLikeFile, sortArguments, splitWords } from "./arguments.ts";

test("what exists is a file, wherever it stands, and the one that does not is the question", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "What is it?");
  await writeFile(file, "");
  expect(await sortArguments([file, "why?"])).toEqual({ files: [file], question: "why?" });
  expect(await sortArguments(["why?", file, file])).toEqual({ files: [file, file], question: "why?" });
  expect(await sortArguments([])).toEqual({ files: [], question: undefined });
  await expect(sortArguments([folder.path, "no.jpg", "one", "two"])).rejects.toThrow(
    `${folder.path}: is a folder; name the pictures in it\nno.jpg: there is no such file\nchat: expected files and one question, found 2 texts that are no files: "one", "two"; put the question in quotes: "one two"`,
  );
  // Longer than any path.
  expect((await sortArguments(["word ".repeat(5000)])).question).toHaveLength(25_000);
});

test.each([
  ["photo.JPG", true],
  ["my photo.jpeg", true],
  ["clip.mp4", true],
  ["./photo", true],
  ["../a/b", true],
  ["/tmp/x", true],
  ["~/x", true],
  ["What is in the photo?", false],
  ["either/or?", false],
  ["/ means what", false],
  ["Hello.", false],
])("%s looks like a file: %s", (text, expected) => {
  expect(looksLikeFile(text)).toBe(expected);
});

test.each<[string, string[]]>([
  ["a.png  b.png", ["a.png", "b.png"]],
  ['"a b.png" c', ["a b.png", "c"]],
  ["'it is \"x\".png'", ['it is "x".png']],
  ["a\\ b.png", ["a b.png"]],
  ["it's.png", ["it's.png"]],
  ["C:\\pictures\\a.png", ["C:\\pictures\\a.png"]],
  ["~/a.png ~b '~/c'", ["/home/me/a.png", "~b", "~/c"]],
  ["", []],
])("%j is split into words", (line, words) => {
  expect(splitWords(line, "/home/me")).toEqual(words);
});
