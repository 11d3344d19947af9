import { sniffPicture } from "./sniff.ts";

/** Containers that are read, by the contents of the file. "mp4" is any ISO media file, "matroska" includes WebM. */
export type VideoFormat = "mp4" | "matroska" | "gif";

/** What the first bytes of a file say: a format that is read, or words for what was found instead. */
export type SniffedVideo = { readonly format: VideoFormat } | { readonly found: string };

/** So many bytes of a file are enough for {@link sniffVideo} and {@link promisedBytes}. */
export const VIDEO_HEAD_BYTES = 4096;

/** Brands of ISO media files that hold pictures. */
const PICTURE_BRAND = /^(avif|avis|hei[cxms]|hev[cxms]|mif1|msf1)$/;

/** Recognises a video by its first {@link VIDEO_HEAD_BYTES} bytes, whatever the file's name says. Pure. */
export function sniffVideo(head: Uint8Array): SniffedVideo {
  const text = String.fromCharCode(...head.subarray(0, 12));
  if (text.startsWith("\x1a\x45\xdf\xa3")) return { format: "matroska" };
  if (text.startsWith("GIF8")) return { format: "gif" };
  if (text.slice(4, 8) === "ftyp" && !PICTURE_BRAND.test(text.slice(8, 12))) return { format: "mp4" };
  // QuickTime files from before there were brands begin with the index or the frames.
  if (/^(moov|mdat|wide)$/.test(text.slice(4, 8))) return { format: "mp4" };
  const picture = sniffPicture(head);
  return "found" in picture ? picture : { found: `a ${picture.format.toUpperCase()} picture` };
}

const SEGMENT_ID = 0x18538067;

/**
 * How long a Matroska file says that it is, in bytes; undefined where it does not say (live recordings) or where its
 * head makes no sense, which is the decoder's to report. Pure.
 */
export function promisedBytes(head: Uint8Array): number | undefined {
  const start = readElement(head, 0);
  const segment = start && readElement(head, start.end);
  return segment?.id === SEGMENT_ID && Number.isFinite(segment.end) ? segment.end : undefined;
}

interface Element {
  readonly id: number;
  /** Where the next element begins; infinite where the size is unknown. */
  readonly end: number;
}

/** The element at byte `at`: an id of 1 to 4 bytes with its length marker, a size of 1 to 8 bytes without. */
function readElement(bytes: Uint8Array, at: number): Element | undefined {
  const idLength = Math.clz32(bytes[at] ?? 0) - 23;
  const sizeAt = at + idLength;
  const sizeLength = Math.clz32(bytes[sizeAt] ?? 0) - 23;
  const dataAt = sizeAt + sizeLength;
  if (idLength > 4 || sizeLength > 8 || dataAt > bytes.length) return undefined;
  const join = (head: number, rest: Uint8Array) => rest.reduce((n, b) => n * 256 + b, head);
  const marker = 1 << (8 - sizeLength);
  const size = join(bytes[sizeAt]! - marker, bytes.subarray(sizeAt + 1, dataAt));
  // All bits set: unknown.
  const known = size < 2 ** (7 * sizeLength) - 1;
  return { id: join(0, bytes.subarray(at, sizeAt)), end: known ? dataAt + size : Number.POSITIVE_INFINITY };
}
