/** Python's `\s` for text, which differs from JavaScript's: it has U+001C-001F and U+0085, not U+FEFF. */
const WHITESPACE = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const RUNS = new RegExp(`${WHITESPACE}{2,}`, "g");
const LEADING = new RegExp(`^${WHITESPACE}`);
const TRAILING = new RegExp(`${WHITESPACE}$`);
const MAX_WORDS = 50;

/**
 * Caption cleaning of the published retrieval figures (Flickr30K and COCO, English and Chinese): lower case, the marks
 * `. ! " ( ) * # : ; ~` become spaces, runs of whitespace one space, the first 50 words are kept. Full-width marks stay.
 */
export function cleanCaption(caption: string): string {
  const text = caption
    .toLowerCase()
    .replace(/[.!"()*#:;~]/g, " ")
    .replace(RUNS, " ")
    .replace(LEADING, "")
    .replace(TRAILING, "");
  return text.split(" ").slice(0, MAX_WORDS).join(" ");
}
