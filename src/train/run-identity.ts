import { createHash } from "node:crypto";
import { ConfigError } from "../core/errors.ts";
import type { ManifestItem } from "../data/manifest.ts";
import type { TextList } from "../data/text-pairs.ts";
import { Recipe, recipeIdentity } from "./recipe.ts";

/** What must be equal for a checkpoint to be continued, as it stands in a checkpoint's metadata. */
export interface RunIdentity {
  /** The fields of the recipe that have an influence on the weights, as JSON. */
  readonly recipe: string;
  /** Digest of the training data: paths of pictures, texts, weights; not of the pictures. */
  readonly manifest: string;
}

/** Throws a ConfigError when the checkpoint of `step` in `folder` is of another run, with what differs. */
export function checkSameRun(
  folder: string,
  step: number,
  saved: Readonly<Record<string, string>>,
  wanted: RunIdentity,
): void {
  const differences = differingFields(parseSaved(saved.recipe), JSON.parse(wanted.recipe));
  if (differences.length === 0 && saved.manifest !== undefined && saved.manifest !== wanted.manifest)
    differences.push(
      JSON.parse(wanted.recipe).stage === "sft"
        ? "the contents of data.annotation"
        : "the contents of data.manifest or data.text_pairs.file",
    );
  if (differences.length > 0)
    throw new ConfigError(
      `${folder}: holds the checkpoint of another run (step ${step}), which differs in ${differences.join(", ")}; restore what it was to go on, or give the recipe another "output"`,
    );
}

/** The saved fields with the defaults of those that were added to recipes since. */
function parseSaved(recipe: string | undefined): unknown {
  try {
    const fields: unknown = JSON.parse(recipe ?? "null");
    const parsed = Recipe.safeParse({ ...(fields as object), output: "." });
    return parsed.success ? JSON.parse(recipeIdentity(parsed.data)) : fields;
  } catch {
    return undefined;
  }
}

/** Paths of the fields that are not equal; lists count as one field. */
function differingFields(a: unknown, b: unknown, path = ""): string[] {
  if (isRecord(a) && isRecord(b))
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
      differingFields(a[key], b[key], path ? `${path}.${key}` : key),
    );
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [path || "the recipe"];
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The digest of a manifest and text pairs. */
export function digestOf(items: readonly ManifestItem[], textLists: readonly TextList[]): string {
  const lines = items.map(({ image, captions, group, weight }) => [image, captions, group, weight]);
  return digestOfLines([...lines, ...textLists]);
}

/** The digest of values as lines of JSON. */
export function digestOfLines(values: Iterable<unknown>): string {
  const hash = createHash("sha256");
  let before = "";
  for (const value of values) {
    hash.update(before).update(JSON.stringify(value));
    before = "\n";
  }
  return hash.digest("hex");
}
