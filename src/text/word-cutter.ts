import { SPACE } from "./sentencepiece-model.ts";

const SPACE_UNIT = SPACE.charCodeAt(0);
const BEFORE_SPACE = new RegExp(`[^${SPACE}](?=${SPACE})`, "g");

/**
 * Cuts a text in which `▁` stands for a space into words, each with the spaces before it, such that no piece of a
 * vocabulary reaches from one word into the next: merging word by word then gives what merging the whole gives.
 * Most vocabularies have no piece with a space behind something else; InternLM2's have some behind tabs and line feeds.
 */
export class WordCutter {
  /** UTF-16 units that stand before a `▁` in some piece. */
  readonly #glue = new Set<number>();

  constructor(pieces: Iterable<string>) {
    for (const piece of pieces)
      for (const [unit] of piece.matchAll(BEFORE_SPACE)) this.#glue.add(unit.charCodeAt(0));
  }

  /** The words in order; joined they are the text. */
  words(text: string): string[] {
    const words: string[] = [];
    for (let start = 0; start < text.length; ) {
      const end = this.#end(text, start);
      words.push(text.slice(start, end));
      start = end;
    }
    return words;
  }

  #end(text: string, start: number): number {
    let at = start;
    while (text.charCodeAt(at) === SPACE_UNIT) at++;
    for (;;) {
      at = text.indexOf(SPACE, at);
      if (at < 0) return text.length;
      const before = text.charCodeAt(at - 1);
      if (before !== SPACE_UNIT && !this.#glue.has(before)) return at;
      at++;
    }
  }
}
