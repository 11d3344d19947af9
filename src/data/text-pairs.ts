import { z } from "zod";
import type { Rng } from "../core/rng.ts";
import { parseJsonLine, parseJsonLines } from "./json-lines.ts";
import { caption } from "./manifest.ts";

/** Texts of one meaning: the first is its name, the others say the same in other words or languages. */
export type TextList = readonly [name: string, other: string, ...others: string[]];

/** One line of a file of text pairs, as written. */
const textLine = z.strictObject({ texts: z.tuple([caption, caption], caption) });

export type TextLine = z.infer<typeof textLine>;

/** All lists of JSON lines `{ "texts": ["name", "other", …] }`. Throws a ConfigError, see {@link parseJsonLines}. */
export async function parseTextPairs(
  lines: AsyncIterable<string> | Iterable<string>,
  name: string,
): Promise<TextList[]> {
  const lists: TextList[] = [];
  const parsed = parseJsonLines(lines, (line) => parseJsonLine(line, textLine), {
    name,
    form: 'lines such as { "texts": ["carrot", "root vegetable"] }',
    atLeastOne:
      "at least one line of texts, found none; without any, leave data.text_pairs out of the recipe",
  });
  for await (const { texts } of parsed) lists.push(texts);
  return lists;
}

/** Lists are drawn again so many times, on average, before two pairs of a batch may share a text. */
const REDRAWS = 8;

/**
 * `count` different lists (at most all) as pairs: the names of all of them, then another text of each, all alike
 * likely: 2·count texts. Pairs are each other's negatives, so none has a text that another has, as long as there are
 * enough lists for that.
 */
export function drawTextPairs(lists: readonly TextList[], count: number, rng: Rng): string[] {
  const drawn = new Set<number>();
  const used = new Set<string>();
  const pairs: [name: string, other: string][] = [];
  for (let redraws = REDRAWS * count; pairs.length < count; ) {
    const at = rng.int(lists.length);
    if (drawn.has(at)) continue;
    const [name, ...others] = lists[at]!;
    const other = others[rng.int(others.length)]!;
    if ((used.has(name) || used.has(other)) && redraws-- > 0) continue;
    drawn.add(at);
    used.add(name).add(other);
    pairs.push([name, other]);
  }
  return [...pairs.map(([name]) => name), ...pairs.map(([, other]) => other)];
}
