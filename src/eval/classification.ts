import { ConfigError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import { type EvalOptions, embedPictures } from "./embed-all.ts";
import { ClassificationCounter, type ClassificationScores } from "./metrics.ts";
import { ZeroShotClassifier } from "./zero-shot-classifier.ts";

/** A picture and its class: an index into the class names. */
export interface ClassificationItem {
  readonly path: string;
  readonly label: number;
}

export interface ClassificationOptions extends EvalOptions {
  readonly classNames: readonly string[];
  readonly templates: readonly string[];
}

export interface ClassificationResult extends ClassificationScores {
  /** The embedder's id. */
  readonly model: string;
  readonly images: number;
  readonly classes: number;
  readonly templates: number;
}

/**
 * Zero-shot classification (clip_benchmark, zeroshot_classification): a classifier of prompts, pictures scored as
 * they are embedded, nothing kept but counts. `loadImage` frames by "crop". Throws ConfigError without pictures,
 * MediaError for pictures that cannot be read.
 */
export async function evaluateClassification(
  embedder: Embedder,
  items: readonly ClassificationItem[],
  options: ClassificationOptions,
): Promise<ClassificationResult> {
  if (items.length === 0) throw new ConfigError("classification: there are no pictures to score");
  const { classNames, templates, signal, onProgress } = options;
  const classifier = await ZeroShotClassifier.build(embedder, classNames, templates, {
    ...(signal ? { signal } : {}),
    onProgress: (progress) => onProgress?.({ phase: "prompts", ...progress }),
  });
  const counter = new ClassificationCounter(classNames.length);
  const paths = items.map((item) => item.path);
  await embedPictures(embedder, paths, options, (i, embedding) => {
    counter.add(classifier.scores(embedding), items[i]!.label);
  });
  return {
    model: embedder.id,
    ...counter.result(),
    images: items.length,
    classes: classNames.length,
    templates: templates.length,
  };
}
