/**
 * The alphabet of byte-level BPE (openai/gpt-2, encoder.py): a printable character for each byte. Printable Latin-1
 * stands for itself, the other 68 bytes are U+0100 onwards, in order: a space is `Ġ`, a line feed `Ċ`.
 */
export const BYTE_CHARS: readonly string[] = makeAlphabet();

const BYTE_OF = new Map(BYTE_CHARS.map((char, byte) => [char.charCodeAt(0), byte]));

function makeAlphabet(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    return String.fromCharCode(printable ? byte : next++);
  });
}

const utf8 = new TextEncoder();

/** A text's UTF-8 bytes, one character of the alphabet each. */
export function toByteChars(text: string): string {
  let chars = "";
  for (const byte of utf8.encode(text)) chars += BYTE_CHARS[byte];
  return chars;
}

/** The bytes that a token of the alphabet stands for; a token with any other character stands for its own UTF-8. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF.get(token.charCodeAt(i));
    if (byte === undefined) return utf8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
