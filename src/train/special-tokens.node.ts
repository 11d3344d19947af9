import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../core/write-whole.node.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/**
 * Gives the tokenizer in a folder the special tokens that it lacks, behind its vocabulary, through the
 * `added_tokens_decoder` of its tokenizer_config.json; opens it.
 */
export async function addSpecialTokens(folder: string, spellings: readonly string[]): Promise<Tokenizer> {
  const tokenizer = await openTokenizer(folder);
  const missing = spellings.filter((spelling) => !tokenizer.addedTokens.has(spelling));
  if (missing.length === 0) return tokenizer;
  const file = join(folder, "tokenizer_config.json");
  // What is there was read by openTokenizer just now: it is sound.
  const text = await readFile(file, "utf8").catch((e: NodeJS.ErrnoException) => {
    if (e.code === "ENOENT") return "{}";
    throw e;
  });
  const config = JSON.parse(text) as { readonly added_tokens_decoder?: object };
  const flags = { lstrip: false, rstrip: false, single_word: false, normalized: false, special: true };
  const added = Object.fromEntries(
    missing.map((content, i) => [tokenizer.vocabSize + i, { content, ...flags }]),
  );
  const extended = { ...config, added_tokens_decoder: { ...config.added_tokens_decoder, ...added } };
  await writeWhole(file, `${JSON.stringify(extended, null, 2)}\n`);
  return openTokenizer(folder);
}
