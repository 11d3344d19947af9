/** Picture formats that are decoded; anything else is refused before a decoder sees it. */
export type PictureFormat = "jpeg" | "png" | "webp" | "avif" | "gif" | "tiff" | "svg" | "svgz";

/** Names of files that are worth opening; what they really are is decided by {@link sniffPicture}. Lower-case, with the dot. */
export const PICTURE_EXTENSIONS: ReadonlySet<string> = new Set([
  ".jpg",
  ".jpeg",
  ".jpe",
  ".jfif",
  ".png",
  ".apng",
  ".webp",
  ".avif",
  ".gif",
  ".tif",
  ".tiff",
  ".svg",
  ".svgz",
]);

/** What the first bytes of a file say: a format that is decoded, or words for what was found instead. */
export type Sniffed = { readonly format: PictureFormat } | { readonly found: string };

/** Leading bytes (latin-1) of formats that people put under a picture's name. */
const OTHERS: readonly (readonly [prefix: string, what: string])[] = [
  ["PK\x03\x04", "a ZIP archive (or an office document)"],
  ["PK\x05\x06", "an empty ZIP archive"],
  ["%PDF", "a PDF document"],
  ["BM", "a BMP picture"],
  ["8BPS", "a Photoshop document"],
  ["\x00\x00\x01\x00", "a Windows icon"],
  ["\xff\x0a", "a JPEG XL picture"],
  ["\x00\x00\x00\x0cJXL ", "a JPEG XL picture"],
  ["\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"],
  ["version https://git-lfs", "a Git LFS pointer (the file itself was not downloaded)"],
  ["\x1a\x45\xdf\xa3", "a Matroska or WebM video"],
  ["OggS", "an Ogg file"],
  ["ID3", "an MP3 file"],
  ["7z\xbc\xaf\x27\x1c", "a 7-Zip archive"],
  ["Rar!", "a RAR archive"],
];

/** SVG may begin with a prolog, comments and a doctype; its root element must appear within this many bytes. */
const SVG_PROLOG_BYTES = 65_536;

const latin1 = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, Math.min(to, bytes.length)));

/** Recognises a file by its contents, whatever its name says. Pure; reads at most the first 64 KiB. */
export function sniffPicture(bytes: Uint8Array): Sniffed {
  if (bytes.length === 0) return { found: "an empty file" };
  const head = latin1(bytes, 0, 32);
  if (head.startsWith("\xff\xd8\xff")) return { format: "jpeg" };
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return { format: "png" };
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return { format: "gif" };
  if (head.startsWith("RIFF")) return riff(head);
  if (/^(II[*+]\0|MM\0[*+])/.test(head)) return { format: "tiff" };
  if (head.slice(4, 8) === "ftyp") return isoMedia(bytes);
  if (head.startsWith("\x1f\x8b")) return { format: "svgz" };
  const other = OTHERS.find(([prefix]) => head.startsWith(prefix));
  if (other) return { found: other[1] };
  return text(bytes);
}

function riff(head: string): Sniffed {
  const kind = head.slice(8, 12);
  return kind === "WEBP" ? { format: "webp" } : { found: `a RIFF file of type "${printable(kind)}"` };
}

/** The brands of an ISO base media file: AVIF names itself there, HEIC and MP4 too. */
function isoMedia(bytes: Uint8Array): Sniffed {
  const boxBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  const box = latin1(bytes, 8, Math.min(boxBytes, 256));
  const brands = [box.slice(0, 4), ...(box.slice(8).match(/[\s\S]{4}/g) ?? [])];
  if (brands.some((b) => b === "avif" || b === "avis")) return { format: "avif" };
  if (brands.some((b) => /^(hei[cxms]|hev[cxms])$/.test(b))) return { found: "a HEIC picture" };
  return { found: `a video or media file of brand "${printable(brands[0]!)}"` };
}

function text(bytes: Uint8Array): Sniffed {
  const start = new TextDecoder().decode(bytes.subarray(0, SVG_PROLOG_BYTES));
  if (/^\uFEFF?\s*<(!doctype\s+)?html/i.test(start)) return { found: "an HTML page (a failed download?)" };
  // Markup only: a text file that mentions <svg somewhere must not reach the XML parser.
  if (/^\uFEFF?\s*</.test(start) && /<(?:[\w-]+:)?svg[\s>/]/.test(start)) return { format: "svg" };
  if (/^[^\0]*$/.test(start.slice(0, 512)) && !start.slice(0, 512).includes("\uFFFD"))
    return { found: "a text file" };
  const hex = Array.from(bytes.subarray(0, 8), (b) => b.toString(16).padStart(2, "0")).join(" ");
  return { found: `unknown contents beginning ${hex}` };
}

const printable = (s: string): string => s.replace(/[^\x20-\x7e]/g, ".");
