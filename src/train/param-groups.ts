import { ConfigError } from "../core/errors.ts";

/** Parameters that share a learning rate. */
export interface ParamGroup {
  readonly name: string;
  /** Keys, with * for any characters. */
  readonly match: readonly string[];
}

/**
 * The group of each key; keys of no group are left out, and their parameters stay frozen. Throws a ConfigError with
 * every key that two groups claim and every pattern that names nothing: both are mistakes that would otherwise train
 * another model than was meant.
 */
export function assignGroups(keys: Iterable<string>, groups: readonly ParamGroup[]): Map<string, string> {
  const patterns = groups.flatMap(({ name, match }) =>
    match.map((pattern) => ({ name, pattern, test: compile(pattern), used: false })),
  );
  const assigned = new Map<string, string>();
  const overlaps = new Map<string, string[]>();
  for (const key of keys) {
    const claims = new Set<string>();
    for (const p of patterns)
      if (p.test.test(key)) {
        p.used = true;
        claims.add(p.name);
      }
    const [first] = claims;
    if (first !== undefined) assigned.set(key, first);
    if (claims.size > 1) {
      const both = [...claims].map((name) => `"${name}"`).join(" and ");
      overlaps.set(both, [...(overlaps.get(both) ?? []), key]);
    }
  }
  const problems = [
    ...[...overlaps].map(
      ([both, keys]) => `${both} both hold ${keys.length} parameters (first: ${keys[0]}); make them disjoint`,
    ),
    ...patterns
      .filter((p) => !p.used)
      .map(({ name, pattern }) => `"${name}": no parameter's key matches "${pattern}"; correct or remove it`),
  ];
  if (problems.length > 0) throw new ConfigError(`optimizer.groups:\n  ${problems.join("\n  ")}`);
  return assigned;
}

const compile = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/[\\^$.|?+()[\]{}]/g, "\\$&").replace(/\*+/g, ".*")}$`);
