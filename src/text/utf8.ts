const HALF = /[\ud800-\udfff]/;

/** A text with U+FFFD for lone surrogates, which no encoding of text can express. */
export const wellFormed = (text: string): string =>
  HALF.test(text) ? text.replace(/\p{Surrogate}/gu, "\ufffd") : text;

/** Sequence length by the first byte's high bits, with the lowest code point that may use that length. */
const FORMS = [
  { mask: 0x80, lead: 0x00, length: 1, lowest: 0 },
  { mask: 0xe0, lead: 0xc0, length: 2, lowest: 0x80 },
  { mask: 0xf0, lead: 0xe0, length: 3, lowest: 0x800 },
  { mask: 0xf8, lead: 0xf0, length: 4, lowest: 0x10000 },
] as const;

/** The code point that starts at `at`, and its length in bytes: 0 when they are not UTF-8, -1 when some may be missing. */
function codePointAt(bytes: ArrayLike<number>, at: number): { codePoint: number; length: number } {
  const invalid = { codePoint: 0xfffd, length: 0 };
  const first = bytes[at]!;
  const form = FORMS.find(({ mask, lead }) => (first & mask) === lead);
  if (form === undefined) return invalid;
  let codePoint = first & ~form.mask & 0xff;
  for (let i = 1; i < form.length; i++) {
    if (at + i === bytes.length) return { codePoint: 0xfffd, length: -1 };
    const next = bytes[at + i]!;
    if ((next & 0xc0) !== 0x80) return invalid;
    codePoint = (codePoint << 6) | (next & 0x3f);
  }
  const surrogate = codePoint >= 0xd800 && codePoint <= 0xdfff;
  if (codePoint < form.lowest || codePoint > 0x10ffff || surrogate) return invalid;
  return { codePoint, length: form.length };
}

/**
 * UTF-8 to text where each byte that does not belong to a valid sequence becomes one U+FFFD, as SentencePiece decodes
 * byte pieces; TextDecoder would make one U+FFFD of several bytes. `length` is how many bytes the text stands for: at
 * most three are left at the end, which may be the beginning of a character, unless these bytes are the `last`.
 */
export function decodeUtf8Prefix(
  bytes: ArrayLike<number>,
  last = false,
): { readonly text: string; readonly length: number } {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const { codePoint, length } = codePointAt(bytes, at);
    if (length < 0 && !last) break;
    text += String.fromCodePoint(codePoint);
    at += Math.max(1, length);
  }
  return { text, length: at };
}
