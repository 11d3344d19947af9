import { SPACE } from "./sentencepiece-model.ts";

/** Pieces never cross a change of class. Marks and joiners belong to whatever they follow. */
type CharClass = "space" | "digit" | "ideographic" | "letter" | "mark" | "other";

const IDEOGRAPHIC = /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}]/u;

function classify(char: string): CharClass {
  if (char === SPACE) return "space";
  if (/\p{Nd}/u.test(char)) return "digit";
  if (/[\p{M}\u200c\u200d]/u.test(char)) return "mark";
  if (/\p{L}/u.test(char)) return IDEOGRAPHIC.test(char) ? "ideographic" : "letter";
  return "other";
}

/**
 * Makes a function that cuts texts into pre-tokens, the units inside which training merges characters: a word with the
 * space before it, a run of Chinese or Japanese, a run of punctuation, a single digit. No pre-token is longer than
 * `maxLength` code points, so that a page in a script without spaces costs no more than words do. The space is written as
 * U+2581 and put before the text as encoding does. The function remembers the class of each character it has met.
 */
export function preTokenizer(maxLength: number): (text: string, emit: (preToken: string) => void) => void {
  const classes = new Map<string, CharClass>();
  const classOf = (char: string): CharClass => {
    let found = classes.get(char);
    if (found === undefined) {
      found = classify(char);
      classes.set(char, found);
    }
    return found;
  };
  return (text, emit) => {
    if (text === "") return;
    const t = SPACE + text.replace(/\p{Surrogate}/gu, "\ufffd").replaceAll(" ", SPACE);
    let start = 0;
    let length = 1;
    let current: CharClass = "space";
    for (let at = 1; at < t.length; ) {
      const char = String.fromCodePoint(t.codePointAt(at)!);
      const next = classOf(char);
      const joins = next === current || next === "mark" || (current === "space" && next !== "digit");
      const alone = next === "space" || next === "digit" || current === "digit";
      if (alone || !joins || length === maxLength) {
        emit(t.slice(start, at));
        start = at;
        length = 0;
        current = next;
      } else if (next !== "mark") current = next;
      length++;
      at += char.length;
    }
    emit(t.slice(start));
  };
}
