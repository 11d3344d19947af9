import type { MediaError } from "../core/errors.ts";
import type { ImageIndex } from "../search/image-index.ts";

/** What the server uses of an index of pictures. */
export type PictureIndex = Pick<
  ImageIndex,
  | "search"
  | "moreLikeThis"
  | "get"
  | "list"
  | "failures"
  | "folders"
  | "stats"
  | "thumbnail"
  | "update"
  | "remove"
>;

export interface CallOptions {
  readonly signal: AbortSignal;
}

export interface TextEmbeddings {
  readonly embeddings: readonly Float32Array[];
  readonly tokens: number;
}

/** Everything behind the server: an index, its model and what else is done with pictures. */
export interface Library {
  readonly index: PictureIndex;
  readonly model: {
    readonly name: string;
    /** The small model that comes with the package, whose limits the page explains. */
    readonly shipped: boolean;
  };
  /**
   * For each picture (a path of the index, or bytes) the labels' probabilities, in the labels' order, or why it cannot
   * be read.
   */
  classify(
    pictures: readonly (string | Uint8Array)[],
    labels: readonly string[],
    options: CallOptions,
  ): Promise<readonly (ArrayLike<number> | MediaError)[]>;
  /** L2-normalised embeddings of texts, in their order, and how many tokens the texts had together. */
  embedTexts(texts: readonly string[], options: CallOptions): Promise<TextEmbeddings>;
  close(): Promise<void>;
}
