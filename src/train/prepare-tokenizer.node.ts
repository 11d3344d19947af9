import { readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { languageShares } from "../data/captions.ts";
import type { ManifestItem } from "../data/manifest.ts";
import { trainBpe } from "../text/bpe-trainer.ts";
import { TEXT_PREFIX } from "../text/clip-text.ts";
import { writeSentencePieceModel } from "../text/sentencepiece-model.ts";
import { openTokenizer } from "../text/tokenizer.node.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { writeWhole } from "./export.node.ts";
import type { Recipe } from "./recipe.ts";

/** Counts are whole numbers: a language's weight is spread over its captions in these units. */
const UNITS = 1_000_000;

/** Files of a tokenizer, as in the published folders. */
const TOKENIZER_FILES = ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"];

/**
 * Puts the recipe's tokenizer into the output folder, so that the trained model is whole, and opens it there: trained
 * on the captions of the training pictures, languages weighted as they are drawn, or copied from a folder. A run that
 * is `resumed` keeps the one that it began with.
 */
export async function prepareTokenizer(
  recipe: Recipe,
  {
    folder,
    output,
    items,
    resumed,
  }: { folder: string; output: string; items: readonly ManifestItem[]; resumed: boolean },
): Promise<Tokenizer> {
  const present = (await readdir(output)).filter((name) => TOKENIZER_FILES.includes(name));
  if (!resumed || present.length === 0) {
    for (const name of present) await rm(join(output, name));
    if ("folder" in recipe.tokenizer) await copyTokenizer(resolve(folder, recipe.tokenizer.folder), output);
    else {
      const model = trainTokenizer(items, recipe.tokenizer.train, recipe.data.languages);
      await writeWhole(join(output, "tokenizer.model"), model);
    }
  }
  return openTokenizer(output);
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  await openTokenizer(from); // before anything is copied: a message about the folder that the recipe names
  for (const name of TOKENIZER_FILES) {
    const bytes = await readFile(join(from, name)).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== "ENOENT") throw e;
    });
    if (bytes) await writeWhole(join(to, name), bytes);
  }
}

type TrainedTokenizer = Extract<Recipe["tokenizer"], { train: unknown }>["train"];

function trainTokenizer(
  items: readonly ManifestItem[],
  { vocab_size, character_coverage }: TrainedTokenizer,
  languages: Recipe["data"]["languages"],
): Uint8Array {
  const model = trainBpe(weightedCaptions(items, languages), {
    vocabSize: vocab_size,
    characterCoverage: character_coverage,
  });
  return writeSentencePieceModel(model);
}

function* weightedCaptions(
  items: readonly ManifestItem[],
  languages: Recipe["data"]["languages"],
): Generator<[text: string, count: number]> {
  const texts = new Map<string, Map<string, number>>();
  let total = 0;
  for (const { captions } of items) {
    const shares = languageShares(Object.keys(captions), languages);
    for (const [language, list] of Object.entries(captions)) {
      const weight = shares.get(language)!;
      if (weight === 0) continue;
      const counts = texts.get(language) ?? new Map<string, number>();
      for (const caption of list) {
        const text = TEXT_PREFIX + caption;
        counts.set(text, (counts.get(text) ?? 0) + weight / list.length);
        total += weight / list.length;
      }
      texts.set(language, counts);
    }
  }
  for (const counts of texts.values())
    for (const [text, weight] of counts) yield [text, Math.max(1, Math.round((weight / total) * UNITS))];
}
