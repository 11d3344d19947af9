/** A stream that text is written to, and what the reader at its other end can see. */
export interface Terminal {
  /** Resolves when the reader has taken the text; a slow reader slows the writer. */
  write(text: string): Promise<void>;
  readonly isTTY: boolean;
  /** Width in characters; of no meaning without a TTY. */
  readonly columns: number;
  readonly colour: boolean;
}

const STYLES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

/** `text` in a style where the terminal shows colours. */
export function style(terminal: Terminal, name: keyof typeof STYLES, text: string): string {
  if (!terminal.colour) return text;
  const [on, off] = STYLES[name];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this looks for
const CONTROL = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text that came from outside (paths, captions, messages) with control characters made visible: a file name must
 * not be able to move the cursor, recolour the screen or reverse the line.
 */
export const visible = (text: string): string =>
  text.replaceAll(CONTROL, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, "0")}`);

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: SGR sequences are what this looks for
const COLOUR_CODES = /\x1b\[\d+m/g;

const cellsOf = (grapheme: string): number =>
  WIDE.test(grapheme) || /^\p{Emoji_Presentation}/u.test(grapheme) ? 2 : 1;

/** Columns that `text` takes in a terminal: wide East Asian characters and emoji take two, colour codes none. */
export function cells(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text.replaceAll(COLOUR_CODES, ""))) width += cellsOf(segment);
  return width;
}

/** `text` without colour codes in at most `width` columns; the middle is left out, since paths differ at the end. */
export function shorten(text: string, width: number): string {
  if (cells(text) <= width) return text;
  const parts = [...graphemes.segment(text)].map((s) => s.segment);
  const keep = (from: readonly string[], budget: number): string[] => {
    const kept: string[] = [];
    for (const part of from) {
      budget -= cellsOf(part);
      if (budget < 0) break;
      kept.push(part);
    }
    return kept;
  };
  const front = keep(parts, Math.floor((width - 1) / 3));
  const back = keep([...parts].reverse(), width - 1 - cells(front.join(""))).reverse();
  return `${front.join("")}…${back.join("")}`;
}
