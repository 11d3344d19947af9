import type { TextSegment } from "./prompt-segments.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * The ids of a prompt: the joined text's, with the segments' borders in place of the search for added tokens. BOS comes
 * first where the published tokenizer puts it, unless the prompt's template has written it already.
 */
export function encodePrompt(tokenizer: Tokenizer, segments: readonly TextSegment[]): number[] {
  const literal: [number, number][] = [];
  let text = "";
  for (const segment of segments) {
    if (!segment.special) literal.push([text.length, text.length + segment.text.length]);
    text += segment.text;
  }
  const [first] = segments;
  const hasBos =
    first?.special === true &&
    tokenizer.bosId !== undefined &&
    tokenizer.idOf(first.text) === tokenizer.bosId;
  return tokenizer.encode(text, { bos: tokenizer.addsBos && !hasBos, literal });
}
