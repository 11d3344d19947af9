import { PRECISIONS } from "../core/precisions.ts";
import type { RgbImage } from "../vision/image.ts";

/** A loaded contrastive model (InternVL-C), as search, evaluation and the server see it. */
export interface Embedder extends AsyncDisposable {
  /** Name and fingerprint of the model, see {@link EmbedderId}. */
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
  /** How many tokens `embedTexts` makes of each text: with the prefix, BOS and EOS, and no more than the model takes. */
  countTokens(texts: readonly string[]): readonly number[];
}

/** The parts of an {@link Embedder.id}, "NAME@FINGERPRINT" or "NAME:PRECISION@FINGERPRINT". */
export interface EmbedderId {
  /** For people: what the folder was called. */
  readonly name: string;
  /** As it was asked for; undefined where the weights are kept as in the file. */
  readonly precision: string | undefined;
  /** Of the weights, the precision and the pictures' size: only embeddings that agree in it are comparable. */
  readonly fingerprint: string;
}

const ID = new RegExp(`^(.*?)(?::(${PRECISIONS.join("|")}))?@(\\w+)$`, "s");

export const formatId = ({ name, precision, fingerprint }: EmbedderId): string =>
  `${name}${precision === undefined ? "" : `:${precision}`}@${fingerprint}`;

/** Takes an id apart; one of another form is all fingerprint. */
export function parseId(id: string): EmbedderId {
  const [, name = id, precision, fingerprint = id] = ID.exec(id) ?? [];
  return { name, precision, fingerprint };
}
