import { SPACE } from "./sentencepiece-model.ts";

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
  *words(text: string): Generator<string> {
    for (let start = 0; start < text.length; ) {
      const end = this.#end(text, start);
      yield text.slice(start, end);
      start = end;
    }
  }

  #end(text: string, start: number): number {
    let at = start;
    while (text[at] === SPACE) at++;
    for (;;) {
      at = text.indexOf(SPACE, at);
      if (at < 0) return text.length;
      if (text[at - 1] !== SPACE && !this.#glue.has(text.charCodeAt(at - 1))) return at;
      at++;
    }
  }
}
