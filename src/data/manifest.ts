import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { parseJsonLine, parseJsonLines } from "./json-lines.ts";

/** Key of captions that were given without a language (ISO 639: undetermined). */
export const NO_LANGUAGE = "und";

/** A text of a training file. */
export const caption = z.string().trim().min(1, "a caption is empty").max(10_000, "a caption is too long");
const captions = z.array(caption).min(1, "the list of captions is empty");
const language = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9@_-]{0,34}$/, "expected a language tag such as en or pt-BR");

/** One line of a manifest, as written. Unknown fields are errors: most are misspellings. */
const manifestLine = z.strictObject({
  /** Path of the picture, relative to the manifest's folder, with forward slashes. */
  image: z.string().min(1).max(4096),
  captions: z.union([captions, z.record(language, captions)], {
    error: (issue) => firstUnionProblem(issue),
  }),
  /** Pictures of the same thing share it: they are no negatives of each other. */
  group: z.string().min(1).optional(),
  /** "train", or "heldout-" and a name. Absent: train. */
  split: z
    .string()
    .regex(/^(train|heldout-[\w-]+)$/, 'expected "train" or "heldout-…"')
    .optional(),
  /** How often the picture is drawn, relative to the others. Absent: 1. */
  weight: z.number().nonnegative().max(1000).optional(),
  /** Where the picture is from and under which terms: for people, not read by the program. */
  source: z.string().optional(),
  licence: z.string().optional(),
});

export type ManifestLine = z.infer<typeof manifestLine>;

/** One picture of a manifest. */
export interface ManifestItem {
  /** The path as the manifest has it. */
  readonly image: string;
  /** The path to open. */
  readonly path: string;
  /** At least one caption, by language; {@link NO_LANGUAGE} where none was given. */
  readonly captions: Readonly<Record<string, readonly string[]>>;
  readonly group?: string;
  readonly split: string;
  readonly weight: number;
}

export interface ManifestOptions {
  /** How messages call the manifest. */
  readonly name: string;
  /** Joins a checked relative path with the manifest's folder. */
  readonly resolve: (image: string) => string;
  /** Take absolute paths and paths that leave the manifest's folder. Only for manifests that one wrote oneself. */
  readonly absolutePaths?: boolean;
}

/** Parses JSON lines to items, see {@link parseJsonLines}. */
export const parseManifest = (
  lines: AsyncIterable<string> | Iterable<string>,
  options: ManifestOptions,
): AsyncGenerator<ManifestItem> =>
  parseJsonLines(lines, (line) => parseLine(line, options), {
    name: options.name,
    form: 'one picture a line as { "image": "…", "captions": […] }',
    atLeastOne: "at least one line with a picture, found none",
  });

function parseLine(line: string, options: ManifestOptions): ManifestItem | string {
  const parsed = parseJsonLine(line, manifestLine);
  if (typeof parsed === "string") return parsed;
  const { image, captions, group, split = "train", weight = 1 } = parsed;
  if (!options.absolutePaths && !staysInside(image))
    return `image: expected a path inside the manifest's folder, found "${image}"; move the picture there or allow absolute paths`;
  const byLanguage = Array.isArray(captions) ? { [NO_LANGUAGE]: captions } : captions;
  if (Object.keys(byLanguage).length === 0) return "captions: expected at least one language, found none";
  const path = options.resolve(image);
  return { image, path, captions: byLanguage, split, weight, ...(group === undefined ? {} : { group }) };
}

/** Whether a path, read on any platform, is relative and never climbs above where it starts. */
export function staysInside(path: string): boolean {
  if (path.includes("\0") || /^([\\/]|[A-Za-z]:)/.test(path) || path.includes("://")) return false;
  let depth = 0;
  for (const part of path.split(/[\\/]/)) {
    if (part === "..") depth--;
    else if (part !== "" && part !== ".") depth++;
    if (depth < 0) return false;
  }
  return depth > 0;
}

/** The line of JSON for one picture; throws a ConfigError when it would not be read back. */
export function formatManifestLine(line: ManifestLine): string {
  const text = JSON.stringify(line);
  const parsed = parseLine(text, { name: "manifest", resolve: (p) => p, absolutePaths: true });
  if (typeof parsed === "string") throw new ConfigError(`manifest line of ${line.image}: ${parsed}`);
  return text;
}

/** All captions of an item, languages in the manifest's order. */
export const allCaptions = (item: ManifestItem): string[] => Object.values(item.captions).flat();

/** A union's own message is "Invalid input": says what the form that was meant lacks. */
function firstUnionProblem(issue: z.core.$ZodRawIssue): string {
  const input: unknown = issue.input;
  if (typeof input !== "object" || input === null)
    return `expected a list of texts, or lists by language, found ${JSON.stringify(input) ?? "nothing"}`;
  const form = Array.isArray(input) ? captions : z.record(language, captions);
  const first = form.safeParse(input).error?.issues[0];
  return first ? `${first.path.map((p) => `${String(p)}: `).join("")}${first.message}` : "invalid";
}
