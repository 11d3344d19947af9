import { MediaError } from "../core/errors.ts";
import { ZeroShotClassifier } from "../eval/zero-shot-classifier.ts";
import type { Embedder } from "../infer/embedder.ts";
import { ImageIndex } from "../search/image-index.ts";
import { recordedLimits } from "../search/recorded-limits.ts";
import type { RgbImage } from "../vision/image.ts";
import { loadForModel } from "../vision/preprocess.node.ts";
import { LIMITS } from "./limits.ts";
import type { Library } from "./ports.ts";

export interface LibraryOptions {
  /** The index's own folder; made when it is not there. */
  readonly indexDir: string;
  /** Taken over: closing the library closes it. */
  readonly embedder: Embedder;
  /** How the page calls the model. Default: the embedder's id. */
  readonly modelName?: string | undefined;
  /** The model is the one that comes with the package. */
  readonly shipped?: boolean | undefined;
  /** Begin again when the index was made with another model. */
  readonly rebuild?: boolean | undefined;
}

/** Pictures decoded and embedded at once; bounds the memory of one request. */
const CLASSIFIED_AT_ONCE = 8;

/** Puts an index and a model together for the server. Throws what `ImageIndex.open` throws. */
export async function openLibrary(options: LibraryOptions): Promise<Library> {
  const { embedder } = options;
  const index = await ImageIndex.open(options.indexDir, embedder, { rebuild: options.rebuild ?? false });
  // One picture after the other is usually sorted into the same labels.
  let latest: { readonly key: string; readonly classifier: ZeroShotClassifier } | undefined;

  async function classifierFor(labels: readonly string[], signal: AbortSignal): Promise<ZeroShotClassifier> {
    const key = JSON.stringify(labels);
    if (latest?.key === key) return latest.classifier;
    const classifier = await ZeroShotClassifier.build(embedder, labels, undefined, { signal });
    latest = { key, classifier };
    return classifier;
  }

  /** A picture that cannot be read is no reason to keep the others' answers back. */
  async function load(source: string | Uint8Array): Promise<RgbImage | MediaError> {
    const known = typeof source === "string" ? await index.get(source) : undefined;
    const limits = known ? recordedLimits(known) : { maxPixels: LIMITS.uploadPixels };
    try {
      return await loadForModel(source, { size: embedder.imageSize, framing: "crop", ...limits });
    } catch (error) {
      if (error instanceof MediaError) return error;
      throw error;
    }
  }

  return {
    index,
    model: { name: options.modelName ?? embedder.id, shipped: options.shipped ?? false },
    async classify(pictures, labels, { signal }) {
      const classifier = await classifierFor(labels, signal);
      const results: (Float32Array | MediaError)[] = [];
      for (let i = 0; i < pictures.length; i += CLASSIFIED_AT_ONCE) {
        signal.throwIfAborted();
        const loaded = await Promise.all(pictures.slice(i, i + CLASSIFIED_AT_ONCE).map(load));
        const images = loaded.filter((image): image is RgbImage => !(image instanceof MediaError));
        const embeddings = images.length > 0 ? await embedder.embedImages(images, { signal }) : [];
        const probabilities = embeddings.map((embedding) => classifier.probabilities(embedding)).values();
        for (const image of loaded)
          results.push(image instanceof MediaError ? image : probabilities.next().value!);
      }
      return results;
    },
    async embedTexts(texts, options) {
      const tokens = embedder.countTokens(texts).reduce((sum, n) => sum + n, 0);
      return { embeddings: await embedder.embedTexts(texts, options), tokens };
    },
    async close() {
      await index[Symbol.asyncDispose]();
      await embedder[Symbol.asyncDispose]();
    },
  };
}
