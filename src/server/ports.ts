/** A picture in the index. */
export interface IndexedPicture {
  /** Absolute path of the file; the picture's name in the index. */
  readonly path: string;
  /** The indexed folder it was found in; `path` is inside it. */
  readonly folder: string;
  /** Pixels, after EXIF orientation. */
  readonly width: number;
  readonly height: number;
}

export interface PictureHit extends IndexedPicture {
  /** Cosine similarity to the query, in [-1, 1]. */
  readonly score: number;
}

/** What to look for: words, the bytes of a picture, or another picture of the index. */
export type PictureQuery =
  | { readonly text: string }
  | { readonly image: Uint8Array }
  | { readonly like: string };

export interface QueryOptions {
  readonly k: number;
  readonly offset: number;
  /** Only pictures of this indexed folder. */
  readonly folder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FolderStats {
  readonly path: string;
  readonly pictures: number;
  readonly failed: number;
}

/** A file that could not be indexed, and why. */
export interface BrokenFile {
  readonly path: string;
  readonly reason: string;
}

export interface IndexingProgress {
  readonly phase: string;
  readonly done: number;
  /** Undefined while the folder is still being listed. */
  readonly total?: number | undefined;
  readonly failed: number;
  readonly ratePerSecond: number;
  readonly etaSeconds?: number | undefined;
  readonly currentPath?: string | undefined;
}

export interface UpdateOptions {
  readonly onProgress: (progress: IndexingProgress) => void;
  readonly signal: AbortSignal;
}

/** What the server needs of an index of pictures. */
export interface PictureIndex {
  query(query: PictureQuery, options: QueryOptions): Promise<readonly PictureHit[]>;
  get(path: string): Promise<IndexedPicture | undefined>;
  list(options: { readonly k: number; readonly offset: number }): Promise<readonly IndexedPicture[]>;
  folders(): Promise<readonly FolderStats[]>;
  broken(folder: string, limit: number): Promise<readonly BrokenFile[]>;
  update(folder: string, options: UpdateOptions): Promise<void>;
  remove(folder: string): Promise<void>;
}

export interface CallOptions {
  readonly signal: AbortSignal;
}

/** Everything behind the server: an index, its model and what else is done with pictures. */
export interface Library {
  readonly index: PictureIndex;
  readonly model: {
    readonly name: string;
    /** The small model that comes with the package, whose limits the page explains. */
    readonly shipped: boolean;
  };
  /** A WebP whose longer side is at most `sidePx`. */
  thumbnail(path: string, sidePx: number, options: CallOptions): Promise<Uint8Array>;
  /** For each picture (a path of the index, or bytes) the labels' probabilities, in the labels' order. */
  classify(
    pictures: readonly (string | Uint8Array)[],
    labels: readonly string[],
    options: CallOptions,
  ): Promise<readonly ArrayLike<number>[]>;
  close(): Promise<void>;
}
