import { CheckpointError, InternVLError } from "../core/errors.ts";
import { expandAlternatives, KeyPattern } from "./key-pattern.ts";

/** Several tensors of a file that are one of ours, joined along `axis` in the order of the alternatives. */
export interface Concat {
  readonly target: string;
  readonly axis: number;
}

/** `"{q,k,v}_proj.weight": concat("qkv.weight", 0)`: the parts are equal in size along the axis. */
export const concat = (target: string, axis: number): Concat => ({ target, axis });

/** A deliberate omission: keys that match are not loaded, for the stated reason. */
export interface Drop {
  readonly pattern: KeyPattern;
  readonly reason: string;
}

export const drop = (pattern: string, reason: string): Drop => ({ pattern: new KeyPattern(pattern), reason });

/** Where a key of a file goes: to one of our keys (as part of it for a concat), or nowhere for a reason. */
export type Destination =
  | {
      readonly key: string;
      readonly part?: { readonly index: number; readonly count: number; readonly axis: number };
    }
  | { readonly dropped: string };

/** Where one of our keys comes from: one key of a file, or several to be joined (or split into) along `axis`. */
export interface Origin {
  readonly keys: readonly string[];
  readonly axis?: number;
}

interface Rule {
  readonly sources: readonly KeyPattern[];
  readonly target: KeyPattern;
  readonly axis?: number;
}

/**
 * A reversible table between a file's key names and ours. Patterns ({@link KeyPattern}) match whole keys and exactly
 * one rule may match, so that the order of the rules means nothing and the inverse is the table read backwards.
 * Alternatives `{a,b}` on both sides are matched by position; on the left alone they are the parts of a `concat`.
 * Throws an InternVLError for a table that could not be reversed.
 */
export class KeyMap {
  readonly #rules: readonly Rule[];

  constructor(
    rules: Readonly<Record<string, string | Concat>>,
    readonly drops: readonly Drop[] = [],
  ) {
    this.#rules = Object.entries(rules).flatMap(([source, target]) => compile(source, target));
  }

  /** Where a file's key goes; undefined when no rule knows it. Throws a CheckpointError when several rules do. */
  map(key: string): Destination | undefined {
    const found: Destination[] = [];
    for (const { sources, target, axis } of this.#rules)
      for (const [index, source] of sources.entries()) {
        const values = source.match(key);
        if (values === undefined) continue;
        const part = axis === undefined ? {} : { part: { index, count: sources.length, axis } };
        found.push({ key: target.fill(values), ...part });
      }
    for (const { pattern, reason } of this.drops)
      if (pattern.match(key) !== undefined) found.push({ dropped: reason });
    return onlyOne(found, key);
  }

  /** The file's keys of one of ours; undefined when no rule knows it. Throws a CheckpointError when several rules do. */
  unmap(key: string): Origin | undefined {
    const found: Origin[] = [];
    for (const { sources, target, axis } of this.#rules) {
      const values = target.match(key);
      if (values === undefined) continue;
      found.push({ keys: sources.map((s) => s.fill(values)), ...(axis === undefined ? {} : { axis }) });
    }
    return onlyOne(found, key);
  }
}

function onlyOne<T>(found: readonly T[], key: string): T | undefined {
  if (found.length > 1)
    throw new CheckpointError(
      `KeyMap: ${found.length} rules match the key ${key} (${found.map((f) => JSON.stringify(f)).join(", ")}); make them exclude each other`,
    );
  return found[0];
}

function compile(sourceText: string, to: string | Concat): Rule[] {
  const where = `KeyMap rule "${sourceText}"`;
  const sources = expandAlternatives(sourceText);
  if (typeof to !== "string") {
    const target = new KeyPattern(to.target);
    if (sources[0]!.choice.length !== 1)
      throw new InternVLError(`${where}: a concat needs exactly one list of alternatives such as {q,k,v}`);
    const rule = { sources: sources.map((s) => new KeyPattern(s.text)), target, axis: to.axis };
    for (const source of rule.sources) checkSameNames(where, source, target);
    return [rule];
  }
  const targets = expandAlternatives(to);
  const shape = (all: typeof sources) => all.map((s) => s.choice.join()).join(" ");
  if (shape(sources) !== shape(targets) || new Set(targets.map((t) => t.text)).size < targets.length)
    throw new InternVLError(`${where}: its target "${to}" needs lists of as many different alternatives`);
  return sources.map((s, i) => {
    const source = new KeyPattern(s.text);
    const target = new KeyPattern(targets[i]!.text);
    checkSameNames(where, source, target);
    return { sources: [source], target };
  });
}

/** A placeholder that one side lacks could not be filled in on the way back. */
function checkSameNames(where: string, source: KeyPattern, target: KeyPattern): void {
  if ([...source.names].sort().join() !== [...target.names].sort().join())
    throw new InternVLError(
      `${where}: the placeholders {${source.names}} and {${target.names}} of its two sides differ`,
    );
}
