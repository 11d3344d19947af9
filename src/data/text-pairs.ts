import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { Rng } from "../core/rng.ts";
import { caption } from "./manifest.ts";

/** Texts of one meaning: the first is its name, the others say the same in other words or languages. */
export type TextList = readonly [name: string, other: string, ...others: string[]];

/** One line of a file of text pairs, as written. */
const textLine = z.strictObject({ texts: z.tuple([caption, caption], caption) });

export type TextLine = z.infer<typeof textLine>;

const MAX_PROBLEMS = 20;

/**
 * Parses JSON lines `{ "texts": ["name", "other", …] }`. Empty lines are skipped. Throws a ConfigError that lists the
 * first twenty wrong lines with their numbers, and also when there is no line at all.
 */
export async function parseTextPairs(
  lines: AsyncIterable<string> | Iterable<string>,
  name: string,
): Promise<TextList[]> {
  const lists: TextList[] = [];
  const problems: string[] = [];
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    const found = parseLine(line);
    if (typeof found !== "string") lists.push(found);
    else if (problems.push(`line ${number}: ${found}`) === MAX_PROBLEMS) break;
  }
  if (problems.length > 0)
    throw new ConfigError(
      `${name}: expected lines such as { "texts": ["carrot", "root vegetable"] }; wrong lines:\n  ${problems.join("\n  ")}`,
    );
  if (lists.length === 0)
    throw new ConfigError(
      `${name}: expected at least one line of texts, found none; without any, leave data.text_pairs out of the recipe`,
    );
  return lists;
}

function parseLine(line: string): TextList | string {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (e) {
    return `expected JSON, found ${(e as Error).message}`;
  }
  const parsed = textLine.safeParse(json);
  if (parsed.success) return parsed.data.texts;
  return parsed.error.issues.map((i) => `${i.path.join(".") || "the line"}: ${i.message}`).join("; ");
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
