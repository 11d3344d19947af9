import type { z } from "zod";
import { ConfigError } from "../core/errors.ts";

const MAX_PROBLEMS = 20;

/** How messages speak of a file of JSON lines. */
export interface JsonLinesForm {
  /** The file's name. */
  readonly name: string;
  /** What is expected, such as: lines such as { "a": 1 }. */
  readonly form: string;
  /** What is expected of a file without any line, and what to do. */
  readonly atLeastOne: string;
}

/**
 * Parses lines, one at a time; `parse` gives the value, or what is wrong with the line. Empty lines are skipped. After
 * the last line (or the twentieth wrong one) throws a ConfigError that lists the wrong lines with their numbers, and
 * also when there is none at all.
 */
export async function* parseJsonLines<T extends object>(
  lines: AsyncIterable<string> | Iterable<string>,
  parse: (line: string) => T | string,
  { name, form, atLeastOne }: JsonLinesForm,
): AsyncGenerator<T> {
  const problems: string[] = [];
  let number = 0;
  let values = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    const parsed = parse(line);
    if (typeof parsed === "string") {
      problems.push(`line ${number}: ${parsed}`);
      if (problems.length === MAX_PROBLEMS) break;
    } else {
      values++;
      yield parsed;
    }
  }
  if (problems.length > 0)
    throw new ConfigError(
      `${name}: expected ${form}; ${problems.length === MAX_PROBLEMS ? `the first ${MAX_PROBLEMS} wrong lines` : "wrong lines"}:\n  ${problems.join("\n  ")}`,
    );
  if (values === 0) throw new ConfigError(`${name}: expected ${atLeastOne}`);
}

/** A line of JSON of the schema's form, or what is wrong with it. */
export function parseJsonLine<T extends object>(line: string, schema: z.ZodType<T>): T | string {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (e) {
    return `expected JSON, found ${(e as Error).message}`;
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  return parsed.error.issues.map((i) => `${i.path.join(".") || "the line"}: ${i.message}`).join("; ");
}
