import { readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeWhole } from "../core/write-whole.node.ts";
import { languageShares } from "../data/captions.ts";
import type { ManifestItem } from "../data/manifest.ts";
import type { TextList } from "../data/text-pairs.ts";
import { trainBpe } from "../text/bpe-trainer.ts";
import { TEXT_PREFIX } from "../text/clip-text.ts";
import { writeSentencePieceModel } from "../text/sentencepiece-model.ts";
import { openTokenizer, TOKENIZER_FILES } from "../text/tokenizer.node.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { copyFiles } from "../weights/write-model.node.ts";
import type { ContrastiveRecipe } from "./contrastive-recipe.ts";

/** Counts are whole numbers: weights are spread over the texts in these units. */
const UNITS = 1_000_000_000;

/** Where a tokenizer comes from: a folder, or training on texts with their weights. */
export type TokenizerSource =
  | { readonly folder: string }
  | {
      readonly train: { readonly vocab_size: number; readonly character_coverage: number };
      readonly texts: () => Iterable<[text: string, weight: number]>;
    };

/**
 * Puts a run's tokenizer into the output folder, so that the trained model is whole, and opens it there: trained, or
 * copied from a folder. A run that is `resumed` keeps the one that it began with.
 */
export async function placeTokenizer(
  source: TokenizerSource,
  { output, resumed }: { readonly output: string; readonly resumed: boolean },
): Promise<Tokenizer> {
  const present = (await readdir(output)).filter((name) => TOKENIZER_FILES.includes(name));
  if (!resumed || present.length === 0) {
    for (const name of present) await rm(join(output, name));
    if ("folder" in source) await copyTokenizer(source.folder, output);
    else {
      const { vocab_size: vocabSize, character_coverage: characterCoverage } = source.train;
      const model = trainBpe(countTexts(source.texts()), { vocabSize, characterCoverage });
      await writeWhole(join(output, "tokenizer.model"), writeSentencePieceModel(model));
    }
  }
  return openTokenizer(output);
}

/** The tokenizer of a contrastive recipe: trained on the captions and the text pairs, weighted as they are drawn. */
export function prepareTokenizer(
  recipe: ContrastiveRecipe,
  {
    folder,
    items,
    textLists,
    ...place
  }: {
    folder: string;
    output: string;
    items: readonly ManifestItem[];
    textLists: readonly TextList[];
    resumed: boolean;
  },
): Promise<Tokenizer> {
  const { tokenizer } = recipe;
  const texts = function* (): Generator<[text: string, weight: number]> {
    for (const [text, weight] of weightedTexts(recipe, items, textLists)) yield [TEXT_PREFIX + text, weight];
  };
  return placeTokenizer(
    "folder" in tokenizer ? { folder: resolve(folder, tokenizer.folder) } : { train: tokenizer.train, texts },
    place,
  );
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  await openTokenizer(from); // before anything is copied: a message about the folder that the recipe names
  await copyFiles(TOKENIZER_FILES, from, to);
}

/** Every text and how often a training draws it, relative to the others. */
function* weightedTexts(
  { data, batch_size }: ContrastiveRecipe,
  items: readonly ManifestItem[],
  textLists: readonly TextList[],
): Generator<[text: string, weight: number]> {
  for (const { captions } of items) {
    const shares = languageShares(Object.keys(captions), data.languages);
    for (const [language, list] of Object.entries(captions)) {
      const share = shares.get(language)!;
      const alike = (1 - data.first_caption_share) / list.length;
      for (const [i, text] of list.entries())
        yield [text, share * (i === 0 ? data.first_caption_share + alike : alike)];
    }
  }
  // In an epoch every picture is drawn once, and so many pairs for each of them.
  const pairs = ((data.text_pairs?.batch_size ?? 0) / batch_size) * items.length;
  for (const [name, ...others] of textLists) {
    const weight = pairs / textLists.length;
    yield [name, weight];
    for (const text of others) yield [text, weight / others.length];
  }
}

/** Equal texts added up, in whole numbers of about `UNITS` together; without those that are never drawn. */
function* countTexts(
  texts: Iterable<[text: string, weight: number]>,
): Generator<[text: string, count: number]> {
  const weights = new Map<string, number>();
  let total = 0;
  for (const [text, weight] of texts) {
    if (weight === 0) continue;
    weights.set(text, (weights.get(text) ?? 0) + weight);
    total += weight;
  }
  for (const [text, weight] of weights) yield [text, Math.max(1, Math.round((weight / total) * UNITS))];
}
