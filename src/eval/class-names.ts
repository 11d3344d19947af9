import { ConfigError } from "../core/errors.ts";

/** Class names in order, and for each folder or group name of a data set its class: an index into `names`. */
export interface ClassAssignment {
  readonly names: readonly string[];
  readonly labelOf: ReadonlyMap<string, number>;
}

/** Names as they come from a file: in the order of the sorted keys, or by key. */
export type ClassNames = readonly string[] | Readonly<Record<string, string>>;

const isList = (names: ClassNames): names is readonly string[] => Array.isArray(names);

/** A folder name as a phrase: `sea_turtle` becomes "sea turtle". */
export const phraseOf = (key: string): string => key.replaceAll(/[_\s]+/g, " ").trim();

/** Code-point order, as a plain `sorted` of Python: what gives the published class order of folders. */
const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Assigns class names to keys (folder names, groups of a manifest). Without names the keys are the names. A list
 * goes by the sorted keys and must be as long; a record must have every key and may have more, which are left out.
 * `where` names the data in the ConfigError.
 */
export function assignClasses(where: string, keys: Iterable<string>, names?: ClassNames): ClassAssignment {
  const sorted = [...new Set(keys)].sort(byCodePoint);
  const labelOf = new Map(sorted.map((key, i) => [key, i] as const));
  if (names === undefined) return { names: sorted.map(phraseOf), labelOf };
  if (isList(names)) {
    if (names.length !== sorted.length)
      throw new ConfigError(
        `${where}: ${sorted.length} classes, but ${names.length} class names; give one name per class in the ` +
          "order of the sorted folder names, or a JSON object from folder name to class name",
      );
    return { names, labelOf };
  }
  const missing = sorted.filter((key) => !Object.hasOwn(names, key));
  if (missing.length > 0)
    throw new ConfigError(
      `${where}: ${missing.length} of ${sorted.length} classes have no name (first: ${missing.slice(0, 5).join(", ")})`,
    );
  return { names: sorted.map((key) => names[key]!), labelOf };
}

/**
 * ImageNet's names for the folders of ImageNet or a variant of it. Folders named by WordNet id select their classes
 * (ImageNet-A and -R have 200 of the 1000), anything else must be all 1000 in order.
 */
export function imagenetNames(
  keys: Iterable<string>,
  imagenet: { readonly names: readonly string[]; readonly wnids: readonly string[] },
): ClassNames {
  const known = new Set(imagenet.wnids);
  const byWnid = [...keys].every((key) => known.has(key));
  if (!byWnid) return imagenet.names;
  return Object.fromEntries(imagenet.wnids.map((wnid, i) => [wnid, imagenet.names[i]!]));
}
