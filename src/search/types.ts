import type { LoadPicture } from "./picture.ts";
import type { Progress } from "./progress.ts";
import type { UpdateLimits } from "./update.ts";

export interface OpenOptions {
  /** How a file's bytes become the model's input. Default: the retrieval protocol. */
  readonly load?: LoadPicture;
  /** false: an index must be there already. Default true: the first update makes it. */
  readonly create?: boolean;
  /** Begin again with this model, keeping the list of folders; the next update computes all embeddings anew. */
  readonly rebuild?: boolean;
  /** Up to so many pictures every search compares all; beyond, a vector index chooses candidates. */
  readonly exactPictures?: number;
}

export interface UpdateOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Stops the update with the signal's reason; what is finished by then stays in the index. */
  readonly signal?: AbortSignal;
  readonly limits?: Partial<UpdateLimits>;
  /** Try files that failed before again, although they have not changed. */
  readonly retryFailed?: boolean;
}

/** A picture of the index. */
export interface IndexedImage {
  readonly path: string;
  /** The innermost indexed folder that it lies in. */
  readonly folder: string;
  /** Upright size in pixels. */
  readonly width: number;
  readonly height: number;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  /** SHA-256 of the file's contents, hex. */
  readonly contentHash: string;
}

export interface SearchResult extends IndexedImage {
  /** Cosine of the two embeddings, -1 to 1. */
  readonly score: number;
}

/** A file that could not be indexed. */
export interface Failure {
  readonly path: string;
  readonly reason: string;
}

/** What to look for: exactly one of them. */
export interface SearchQuery {
  readonly text?: string;
  /** Path or contents of a picture file. */
  readonly image?: string | Uint8Array;
  /** An embedding of this index's model; its length does not matter. */
  readonly vector?: Float32Array;
}

export interface ResultOptions {
  /** Number of results, 20 where not given. */
  readonly k?: number;
  /** Results that are passed over, for the next page. */
  readonly offset?: number;
  /** Only pictures below this folder, which may lie inside an indexed one. */
  readonly folder?: string;
}

export interface PageOptions {
  /** Only paths that come after this one: the last of the page before. */
  readonly after?: string;
  /** Default 100. */
  readonly limit?: number;
  readonly folder?: string;
}

export interface IndexStats {
  readonly images: number;
  readonly failed: number;
  readonly folders: readonly { readonly path: string; readonly images: number; readonly failed: number }[];
  /** Embedder.id. */
  readonly model: string;
  readonly dimension: number;
  /** Whether a search over everything compares all pictures. */
  readonly exact: boolean;
}
