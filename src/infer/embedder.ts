import type { RgbImage } from "../vision/image.ts";

/** A loaded contrastive model (InternVL-C), as search, evaluation and the server see it. */
export interface Embedder extends AsyncDisposable {
  /** Name and fingerprint of the weights: embeddings with different ids are not comparable. */
  readonly id: string;
  /** Width of an embedding. */
  readonly dimension: number;
  /** Side in pixels of the square that `embedImages` takes. */
  readonly imageSize: number;
  /** exp(logit_scale): multiplies cosines before a softmax. */
  readonly scale: number;
  /** Embeds size × size pictures in order; each result is L2-normalised. Does not block the event loop. */
  embedImages(
    images: readonly RgbImage[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<Float32Array[]>;
  /** Embeds texts in order, with the published `summarize:` prefix; each result is L2-normalised. */
  embedTexts(texts: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<Float32Array[]>;
}
