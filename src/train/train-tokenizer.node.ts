import { rename, stat, writeFile } from "node:fs/promises";
import type { ManifestItem } from "../data/manifest.ts";
import { trainBpe } from "../text/bpe-trainer.ts";
import { TEXT_PREFIX } from "../text/clip-text.ts";
import { writeSentencePieceModel } from "../text/sentencepiece-model.ts";
import type { Recipe } from "./recipe.ts";

/** Counts are whole numbers: a language's weight is spread over its captions in these units. */
const UNITS = 1_000_000;

/**
 * Trains the recipe's tokenizer on the captions of the training pictures, languages weighted as they are drawn, and
 * writes it to `path`; an existing file is kept, so that a resumed run has the same vocabulary.
 */
export async function trainTokenizer(
  path: string,
  items: readonly ManifestItem[],
  recipe: Recipe,
): Promise<void> {
  if (
    !("train" in recipe.tokenizer) ||
    (await stat(path).then(
      () => true,
      () => false,
    ))
  )
    return;
  const { vocab_size, character_coverage } = recipe.tokenizer.train;
  const model = trainBpe(weightedCaptions(items, recipe.data.languages), {
    vocabSize: vocab_size,
    characterCoverage: character_coverage,
  });
  await writeFile(`${path}.partial`, writeSentencePieceModel(model));
  await rename(`${path}.partial`, path);
}

function* weightedCaptions(
  items: readonly ManifestItem[],
  languages: Recipe["data"]["languages"],
): Generator<[text: string, count: number]> {
  const texts = new Map<string, Map<string, number>>();
  let total = 0;
  for (const { captions } of items)
    for (const [language, list] of Object.entries(captions)) {
      const weight = languages ? (languages[language] ?? languages["*"] ?? 0) : 1;
      if (weight === 0) continue;
      const counts = texts.get(language) ?? new Map<string, number>();
      for (const caption of list) {
        const text = TEXT_PREFIX + caption;
        counts.set(text, (counts.get(text) ?? 0) + weight / list.length);
        total += weight / list.length;
      }
      texts.set(language, counts);
    }
  for (const counts of texts.values())
    for (const [text, weight] of counts) yield [text, Math.max(1, Math.round((weight / total) * UNITS))];
}
