/** Endings of pictures that cannot be decoded: lower-case, with the dot. */
export const UNSUPPORTED_EXTENSIONS: ReadonlySet<string> = new Set([
  ...[".heic", ".heif", ".hif", ".bmp", ".jxl", ".jp2", ".psd"],
  // The raw data of cameras.
  ...[".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2"],
  ...[".rwl", ".sr2", ".srw", ".x3f"],
]);

/** Pictures that were passed over, by their ending: { ".heic": 500 }. */
export type Unsupported = Readonly<Record<string, number>>;
