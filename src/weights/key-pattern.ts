import { InternVLError } from "../core/errors.ts";

/**
 * A pattern for whole keys. Literal text, except:
 *   {i} {j} {n}   a number without leading zeros
 *   {rest*}       one or more whole segments (any name with a star)
 *   {p}           all or a part of one segment, not empty (any other name)
 * A segment is what stands between dots; it holds at most one placeholder, and a pattern at most one starred one.
 * Under these rules a key matches in one way only, which is what makes a key map reversible.
 */
export class KeyPattern {
  readonly names: readonly string[];
  readonly #regex: RegExp;

  constructor(readonly text: string) {
    this.names = [...text.matchAll(PLACEHOLDER)].map((m) => m[1]!);
    this.#check();
    const parts = text.split(PLACEHOLDER);
    const source = parts.map((part, i) => (i % 2 === 0 ? escapeRegex(part) : `(${captureOf(part)})`));
    this.#regex = new RegExp(`^${source.join("")}$`);
  }

  #check(): void {
    const segments = this.text.split(".").map((s) => [...s.matchAll(PLACEHOLDER)].map((m) => m[0]));
    const stars = this.names.filter((n) => n.endsWith("*")).length;
    const inner = this.text.split(".").some((s) => s.includes("*}") && !/^\{\w+\*\}$/.test(s));
    if (
      segments.some((s) => s.length > 1) ||
      stars > 1 ||
      inner ||
      new Set(this.names).size < this.names.length
    )
      throw new InternVLError(
        `key pattern ${this.text}: expected at most one placeholder in a segment, one {name*} that is a whole segment, and no name twice`,
      );
    if (/[{}]/.test(this.text.replaceAll(PLACEHOLDER, "")))
      throw new InternVLError(
        `key pattern ${this.text}: a brace is no placeholder such as {i}, {p} or {rest*}`,
      );
  }

  /** What the placeholders stand for in `key`, or undefined when it does not match. */
  match(key: string): ReadonlyMap<string, string> | undefined {
    const match = this.#regex.exec(key);
    return match === null ? undefined : new Map(this.names.map((name, i) => [name, match[i + 1]!]));
  }

  /** The key in which each placeholder stands for its value. */
  fill(values: ReadonlyMap<string, string>): string {
    return this.text.replaceAll(PLACEHOLDER, (_, name: string) => values.get(name)!);
  }
}

const PLACEHOLDER = /\{(\w+\*?)\}/g;
const NUMBERS = new Set(["i", "j", "n"]);

const escapeRegex = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

function captureOf(name: string): string {
  if (NUMBERS.has(name)) return "0|[1-9]\\d*";
  return name.endsWith("*") ? "[^.]+(?:\\.[^.]+)*" : "[^.]+";
}

/**
 * Writes out alternatives: "{q,k}_proj.{p}" -> ["q_proj.{p}", "k_proj.{p}"]; several lists give all combinations, the
 * last one running fastest. `choice` is the index taken in each list.
 */
export function expandAlternatives(
  text: string,
): { readonly text: string; readonly choice: readonly number[] }[] {
  const parts = text.split(ALTERNATIVES);
  let out: { text: string; choice: number[] }[] = [{ text: "", choice: [] }];
  for (const [i, part] of parts.entries()) {
    if (i % 2 === 0) out = out.map((o) => ({ ...o, text: o.text + part }));
    else
      out = out.flatMap((o) =>
        part.split(",").map((a, c) => ({ text: o.text + a, choice: [...o.choice, c] })),
      );
  }
  return out;
}

const ALTERNATIVES = /\{([^{},]*(?:,[^{},]*)+)\}/g;
