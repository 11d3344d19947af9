import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { f32 } from "../core/array.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import { withRows } from "./initial-chat-weights.node.ts";
import { addSpecialTokens } from "./special-tokens.node.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../text/fixtures/${name}`, import.meta.url));

test.each(["llama", "qwen2", "bytes"])("%s: what lacks comes behind the vocabulary, once", async (name) => {
  await using folder = await temporaryFolder();
  await cp(fixture(name), folder.path, { recursive: true });
  const before = await openTokenizer(folder.path);
  const wanted = ["<new-one>", "<|new two|>"];
  const known = [...before.addedTokens][0]!;
  const after = await addSpecialTokens(folder.path, [known, ...wanted]);
  expect(wanted.map((token) => after.idOf(token))).toEqual([before.vocabSize, before.vocabSize + 1]);
  expect(after.idOf(known)).toBe(before.idOf(known));
  expect(after.vocabSize).toBe(before.vocabSize + 2);
  expect(after.encode("<new-one>")).toEqual([before.vocabSize]);
  // Special: decoding leaves it out.
  expect(after.decode([before.vocabSize])).toBe("");
  const text = "plain words, 12";
  expect(after.encode(text)).toEqual(before.encode(text));
  const written = await readFile(join(folder.path, "tokenizer_config.json"), "utf8");
  await addSpecialTokens(folder.path, [known, ...wanted]);
  expect(await readFile(join(folder.path, "tokenizer_config.json"), "utf8")).toBe(written);
});

test("new rows of a table are the mean of its own", () => {
  const table = f32([2, 2], [1, 2, 3, 6]);
  expect(withRows(table, 4)).toEqual(f32([4, 2], [1, 2, 3, 6, 2, 4, 2, 4]));
  expect(withRows(table, 1)).toBeUndefined();
});
