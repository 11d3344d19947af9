import { ConfigError, ShapeError } from "../core/errors.ts";
import type { Embedder } from "../infer/embedder.ts";
import { dotRows, type EmbeddingMatrix, emptyMatrix, setRow } from "./embedding-matrix.ts";

/** Where a template takes the class name. */
export const PLACEHOLDER = "{c}";

/** Templates for a user's own labels: the bare word first, since labels come in any language. */
export const DEFAULT_TEMPLATES: readonly string[] = [
  PLACEHOLDER,
  `a photo of a ${PLACEHOLDER}.`,
  `a picture of a ${PLACEHOLDER}.`,
  `a drawing of a ${PLACEHOLDER}.`,
];

/** What the command line and the server say to fewer. */
export const TWO_LABELS = "at least two labels are needed to choose between";

export interface ClassifierOptions {
  readonly signal?: AbortSignal;
  /** Texts embedded in one call of the embedder; default 64. */
  readonly batchSize?: number;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** Refuses templates without a placeholder, empty names and empty lists; all problems in one ConfigError. */
function checkPrompts(labels: readonly string[], templates: readonly string[]): void {
  const problems: string[] = [];
  if (labels.length === 0) problems.push("there are no labels");
  if (templates.length === 0) problems.push("there are no templates");
  labels.forEach((label, i) => {
    if (label.trim() === "") problems.push(`label ${i + 1} is empty`);
  });
  for (const template of templates)
    if (!template.includes(PLACEHOLDER))
      problems.push(
        `template ${JSON.stringify(template)} does not say where the label goes: write ${PLACEHOLDER} there`,
      );
  if (problems.length > 0) throw new ConfigError(`zero-shot classifier: ${problems.join("; ")}`);
}

/**
 * A classifier made of words: a class is the mean of its prompts' embeddings. Source: CLIP (arXiv:2103.00020, §3.1.4)
 * as clip_benchmark's zeroshot_classification does it; a template given twice counts twice.
 */
export class ZeroShotClassifier {
  private constructor(
    readonly labels: readonly string[],
    /** [classes, D], unit rows. */
    readonly weights: EmbeddingMatrix,
    /** exp(logit_scale) of the model. */
    readonly scale: number,
  ) {}

  /**
   * Embeds every label in every template (the embedder adds its own prefix), averages per label and normalises.
   * Throws ConfigError for templates without `{c}`, empty labels or empty lists.
   */
  static async build(
    embedder: Embedder,
    labels: readonly string[],
    templates: readonly string[] = DEFAULT_TEMPLATES,
    options: ClassifierOptions = {},
  ): Promise<ZeroShotClassifier> {
    checkPrompts(labels, templates);
    const { signal, batchSize = 64, onProgress } = options;
    const total = labels.length * templates.length;
    const prompt = (n: number) =>
      templates[n % templates.length]!.replaceAll(
        PLACEHOLDER,
        () => labels[Math.floor(n / templates.length)]!,
      );
    const weights = emptyMatrix(labels.length, embedder.dimension);
    let sum = new Float64Array(embedder.dimension);
    for (let start = 0; start < total; start += batchSize) {
      signal?.throwIfAborted();
      const prompts = Array.from({ length: Math.min(batchSize, total - start) }, (_, i) => prompt(start + i));
      const embeddings = await embedder.embedTexts(prompts, signal ? { signal } : {});
      embeddings.forEach((embedding, i) => {
        embedding.forEach((v, d) => {
          sum[d]! += v;
        });
        const n = start + i + 1;
        if (n % templates.length !== 0) return;
        setRow(weights, n / templates.length - 1, unit(sum), JSON.stringify(prompts[i]));
        sum = new Float64Array(embedder.dimension);
      });
      onProgress?.({ done: Math.min(start + batchSize, total), total });
    }
    return new ZeroShotClassifier(labels, weights, embedder.scale);
  }

  /** 100 · cosine to each class, the published score: [classes]. `embedding`: [D], unit length. */
  scores(embedding: Float32Array): Float32Array {
    const { rows, dimension } = this.weights;
    if (embedding.length !== dimension)
      throw new ShapeError(
        `ZeroShotClassifier: embedding of width ${embedding.length}, expected ${dimension}`,
      );
    const image: EmbeddingMatrix = { rows: 1, dimension, data: embedding };
    return Float32Array.from({ length: rows }, (_, c) => 100 * dotRows(this.weights, c, image, 0));
  }

  /** Probabilities of the labels: softmax of the model's own scale times the cosines. */
  probabilities(embedding: Float32Array): Float32Array {
    const logits = this.scores(embedding).map((s) => (s / 100) * this.scale);
    const max = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const exp = logits.map((l) => Math.exp(l - max));
    const sum = exp.reduce((a, b) => a + b, 0);
    return exp.map((e) => e / sum);
  }
}

function unit(v: Float64Array): Float32Array {
  const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0)) || 1;
  return Float32Array.from(v, (x) => x / norm);
}
