import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { readClassNames, readLabels, readTemplates } from "./prompts.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-prompts-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

test("labels are separated by commas or stand one a line", async () => {
  expect(await readLabels("cat, dog ,a red car")).toEqual(["cat", "dog", "a red car"]);
  expect(await readLabels(`@${await file("labels.txt", "\ufeffcat\r\n\r\n a, b \n")}`)).toEqual([
    "cat",
    "a, b",
  ]);
});

test("empty, repeated and single labels are refused", async () => {
  await expect(readLabels("cat,,dog")).rejects.toThrow("a label is empty");
  await expect(readLabels(`@${await file("none.txt", "\n")}`)).rejects.toThrow("a label is empty");
  await expect(readLabels("cat")).rejects.toThrow("at least two labels are needed to choose between");
  await expect(readLabels("cat,dog,cat")).rejects.toThrow('"cat" is given twice');
});

test("templates are phrases, published lists by name, or files", async () => {
  expect(await readTemplates(["a {c}", "pets"])).toEqual(["a {c}", "a photo of a {c}, a type of pet."]);
  expect(await readTemplates(["imagenet:jp"])).toHaveLength(37);
  expect(await readTemplates([`@${await file("t.json", '["the {c}"]')}`])).toEqual(["the {c}"]);
});

test("names that do not exist come with the nearest that does", async () => {
  await expect(readTemplates(["cifra10"])).rejects.toThrow("did you mean cifar10?");
  await expect(readTemplates(["imagenet:fr"])).rejects.toThrow('no ImageNet names in "fr"');
  await expect(readClassNames("imagenet:it-IT")).rejects.toThrow("no ImageNet names");
});

test("class names come from ImageNet, a list or a record; other contents are refused", async () => {
  expect(await readClassNames("imagenet:en")).toHaveLength(1000);
  expect(await readClassNames(await file("list.txt", "ant\nbee\n"))).toEqual(["ant", "bee"]);
  expect(await readClassNames(await file("record.json", '{"a": "ant"}'))).toEqual({ a: "ant" });
  await expect(readClassNames(await file("numbers.json", '{"a": 1}'))).rejects.toThrow("found other values");
  await expect(readClassNames(await file("broken.json", '["a",'))).rejects.toThrow(
    "expected one name a line or JSON",
  );
  await expect(readTemplates([`@${await file("list.json", "[1]")}`])).rejects.toThrow(
    "found other values in it",
  );
  await expect(readClassNames(await file("huge.txt", "x".repeat(10_000_001)))).rejects.toThrow(
    "10000001 bytes",
  );
});

test("a list may come through a pipe; one without an end is given up, and a folder is none", async () => {
  const pipe = join(folder, "pipe");
  await promisify(execFile)("mkfifo", [pipe]);
  const [labels] = await Promise.all([readLabels(`@${pipe}`), writeFile(pipe, "cat\ndog\n")]);
  expect(labels).toEqual(["cat", "dog"]);
  await expect(readLabels("@/dev/zero")).rejects.toThrow(/at most 10000000 bytes, found still more/);
  await expect(readLabels(`@${folder}`)).rejects.toThrow(UsageError);
});
