/**
 * Compares a tokenizer with reference ids: `npx tsx test/check-tokenizer.ts tokenizer.model CASES.json`.
 * CASES.json: `{ "add_bos": true, "add_eos": true, "cases": [{ "text": …, "ids": […] }, …] }`. Exits 1 on a difference.
 */
import { readFile } from "node:fs/promises";
import { parseSentencePieceModel } from "../src/text/sentencepiece-model.ts";
import { sentencePieceTokenizer } from "../src/text/sentencepiece-tokenizer.ts";

interface Cases {
  readonly add_bos: boolean;
  readonly add_eos: boolean;
  readonly cases: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

const [modelPath, casesPath] = process.argv.slice(2);
if (modelPath === undefined || casesPath === undefined) {
  console.error("usage: npx tsx test/check-tokenizer.ts tokenizer.model CASES.json");
  process.exit(2);
}
const tokenizer = sentencePieceTokenizer(parseSentencePieceModel(await readFile(modelPath), modelPath));
const { add_bos, add_eos, cases } = JSON.parse(await readFile(casesPath, "utf8")) as Cases;
let different = 0;
for (const { text, ids } of cases) {
  const ours = tokenizer.encode(text, { bos: add_bos, eos: add_eos });
  if (ours.join() === ids.join()) continue;
  different++;
  console.error(`${JSON.stringify(text)}\n  expected ${ids.join(" ")}\n  found    ${ours.join(" ")}`);
}
console.log(`${cases.length - different} of ${cases.length} texts have the reference ids`);
process.exit(different > 0 || cases.length === 0 ? 1 : 0);
