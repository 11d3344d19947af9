import { createContrastiveEmbedder } from "../infer/contrastive-embedder.ts";
import { InternVLC } from "../models/internvl_c.ts";
import type { Evaluate } from "../train/train-options.ts";
import { loadForModel } from "../vision/preprocess.node.ts";
import { CONCEPT_PROTOCOL, evaluateRetrieval } from "./retrieval.ts";

/**
 * Text→image recall of a model in training on held-out pictures, as `LANGUAGE.R@K`: each picture's first caption is
 * a query, a hit is any picture of the same group or with the same caption. Languages without a caption among the
 * items are left out: a small sample must not end a long training.
 */
export async function heldOutRecall(current: Parameters<Evaluate>[0]): Promise<Record<string, number>> {
  const wanted = current.languages.filter((language) =>
    current.items.some(({ captions }) => Object.hasOwn(captions, language)),
  );
  if (wanted.length === 0) return {};
  const model = new InternVLC(current.config);
  using weights = await current.runtime.weights(current.weights);
  await using embedder = await createContrastiveEmbedder({
    id: "training",
    scale: 1,
    model,
    weights,
    tokenizer: current.tokenizer,
    runtime: current.runtime,
    imageBatch: 64,
    maxTextTokens: current.maxTextTokens,
  });
  const { languages } = await evaluateRetrieval(embedder, current.items, {
    loadImage: (path) => loadForModel(path, { size: embedder.imageSize, framing: "squash" }),
    languages: wanted,
    protocol: CONCEPT_PROTOCOL,
    batchSize: 64,
    ...(current.signal && { signal: current.signal }),
  });
  const recalls: Record<string, number> = {};
  for (const [language, scores] of Object.entries(languages))
    for (const k of [1, 5, 10] as const)
      recalls[`${language}.R@${k}`] = scores[`image_retrieval_recall@${k}`];
  return recalls;
}
