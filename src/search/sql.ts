import { sep } from "node:path";

/**
 * Fragments of the SQL filters that LanceDB takes as text. It has no bound parameters, so every outside string goes
 * through {@link quote}: inside a literal its dialect knows one special character, the quote itself (no backslash
 * escapes), and comparisons are by UTF-8 bytes. Paths are never matched with LIKE, which would give % and _ a meaning.
 */

/** `text` as an SQL string literal. */
export const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** `column IN (…)`; false for an empty list. */
export const inList = (column: string, values: readonly string[]): string =>
  values.length === 0 ? "false" : `${column} IN (${values.map(quote).join(", ")})`;

/** Rows whose path lies below `folder`, as a range of the sorted paths. */
export function under(folder: string): string {
  const prefix = folder.endsWith(sep) ? folder : folder + sep;
  const next = prefix.slice(0, -1) + String.fromCharCode(sep.charCodeAt(0) + 1);
  return `(path >= ${quote(prefix)} AND path < ${quote(next)})`;
}

/** All given conditions; undefined when there is none. */
export function allOf(...conditions: readonly (string | undefined)[]): string | undefined {
  const given = conditions.filter((c) => c !== undefined);
  return given.length === 0 ? undefined : given.join(" AND ");
}

/** Whether `path` is `folder` or lies below it. Both absolute and normalised. */
export const isUnder = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
