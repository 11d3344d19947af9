import type { Rng } from "../core/rng.ts";

/** A schema of the keywords that are supported, for tests. */
export type Schema =
  | boolean
  | {
      readonly description?: string;
      readonly type?: string | readonly string[];
      readonly properties?: Readonly<Record<string, Schema>>;
      readonly required?: readonly string[];
      readonly additionalProperties?: Schema;
      readonly items?: Schema;
      readonly minItems?: number;
      readonly maxItems?: number;
      readonly enum?: readonly unknown[];
      readonly const?: unknown;
      readonly anyOf?: readonly Schema[];
      readonly $ref?: string;
      readonly $defs?: Readonly<Record<string, Schema>>;
    };

const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === "object" && v !== null && !Array.isArray(v);

const equal = (a: unknown, b: unknown): boolean => {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => equal(x, b[i]));
  if (!isRecord(a) || !isRecord(b)) return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && equal(a[k], b[k]));
};

const IS: Readonly<Record<string, (v: unknown) => boolean>> = {
  object: isRecord,
  array: Array.isArray,
  string: (v) => typeof v === "string",
  number: (v) => typeof v === "number" && Number.isFinite(v),
  integer: Number.isInteger,
  boolean: (v) => typeof v === "boolean",
  null: (v) => v === null,
};

const resolve = (ref: string, root: Schema): Schema =>
  ref === "#" ? root : (root as { $defs: Record<string, Schema> }).$defs[ref.slice("#/$defs/".length)]!;

/** Whether a value is valid: JSON Schema 2020-12 read plainly, keyword by keyword. */
export function isValid(value: unknown, schema: Schema, root: Schema = schema): boolean {
  if (typeof schema === "boolean") return schema;
  const s = schema;
  if (s.$ref !== undefined && !isValid(value, resolve(s.$ref, root), root)) return false;
  if (s.anyOf !== undefined && !s.anyOf.some((option) => isValid(value, option, root))) return false;
  if (s.type !== undefined && ![s.type].flat().some((t) => IS[t]!(value))) return false;
  if ("const" in s && !equal(value, s.const)) return false;
  if (s.enum !== undefined && !s.enum.some((v) => equal(v, value))) return false;
  if (isRecord(value)) {
    if (s.required?.some((name) => !Object.hasOwn(value, name))) return false;
    for (const [key, v] of Object.entries(value)) {
      const own = s.properties !== undefined && Object.hasOwn(s.properties, key);
      if (!isValid(v, own ? s.properties![key]! : (s.additionalProperties ?? true), root)) return false;
    }
  }
  if (Array.isArray(value)) {
    if (value.length < (s.minItems ?? 0) || value.length > (s.maxItems ?? Infinity)) return false;
    if (!value.every((v) => isValid(v, s.items ?? true, root))) return false;
  }
  return true;
}

const STRINGS = ["", "a", 'q"\\/', "\n\t\u0001\u001f", "é 猫 😀", "b c", "\u2028", "key", "__proto__"];
const NUMBERS = [0, 1, -1, 0.5, -12.25, 1e21, 1.5e300, 5e-324, 123456789012345680000, 0.1 + 0.2, 1e-7];
/** Names of members. */
export const KEYS = ["x", "ab", "abc", 'k"', "é", "e", "\n", "\\", "", "ü"];
const pick = <T>(rng: Rng, list: readonly T[]): T => list[rng.int(list.length)]!;

/** A random schema; `names` are definitions it may refer to where a value need not be there. */
export function randomSchema(rng: Rng, depth: number, names: readonly string[] = []): Schema {
  const inner = () => randomSchema(rng, depth - 1, names);
  const kind = rng.int(depth > 0 ? 11 : 6);
  if (kind === 0) return true;
  if (kind === 1)
    return { enum: Array.from({ length: 1 + rng.int(4) }, () => randomValue(rng, true, true, 2)) };
  if (kind === 2) return { const: randomValue(rng, true, true, 2) };
  if (kind < 6)
    return { type: pick(rng, ["string", "number", "integer", "boolean", "null", ["string", "null"]]) };
  if (kind < 9) {
    const keys = KEYS.filter(() => rng.int(3) === 0);
    const properties = Object.fromEntries(keys.map((key) => [key, inner()]));
    for (const name of names) if (rng.int(2) === 0) properties[name] = { $ref: `#/$defs/${name}` };
    const additionalProperties = pick<Schema | undefined>(rng, [undefined, true, false, { type: "integer" }]);
    return {
      type: "object",
      properties,
      required: keys.filter(() => rng.int(2) === 0),
      ...(additionalProperties !== undefined && { additionalProperties }),
    };
  }
  if (kind === 9) return { anyOf: [inner(), inner()] };
  const minItems = rng.int(3);
  return {
    type: "array",
    items: inner(),
    ...(rng.int(2) === 0 && { minItems }),
    ...(rng.int(2) === 0 && { maxItems: minItems + rng.int(3) }),
  };
}

/** A random value that is valid under a schema; small below `depth` 0. */
export function randomValue(rng: Rng, schema: Schema, root: Schema, depth: number): unknown {
  if (schema === true)
    return randomValue(
      rng,
      depth > 0
        ? { type: pick(rng, ["string", "number", "boolean", "null", "array", "object"]) }
        : { type: pick(rng, ["string", "number", "null"]) },
      root,
      depth,
    );
  const s = schema as Exclude<Schema, boolean>;
  if (s.$ref !== undefined) return randomValue(rng, resolve(s.$ref, root), root, depth);
  if (s.anyOf !== undefined) return randomValue(rng, pick(rng, s.anyOf), root, depth);
  if ("const" in s) return s.const;
  if (s.enum !== undefined) return pick(rng, s.enum);
  switch (pick(rng, [s.type!].flat())) {
    case "object": {
      const { properties = {}, required = [], additionalProperties = true } = s;
      const keys = Object.keys(properties).filter(
        (k) => required.includes(k) || (depth > 0 && rng.int(2) === 0),
      );
      const members = keys.map((k) => [k, randomValue(rng, properties[k]!, root, depth - 1)] as const);
      const extra = KEYS.filter((k) => !Object.hasOwn(properties, k) && depth > 0 && rng.int(4) === 0);
      if (additionalProperties !== false)
        for (const k of extra) members.push([k, randomValue(rng, additionalProperties, root, depth - 1)]);
      return Object.fromEntries(rng.shuffle(members));
    }
    case "array": {
      const { minItems = 0, maxItems = minItems + 3, items = true } = s;
      const length = depth > 0 ? minItems + rng.int(maxItems - minItems + 1) : minItems;
      return Array.from({ length }, () => randomValue(rng, items, root, depth - 1));
    }
    case "string":
      return pick(rng, STRINGS);
    case "number":
      return pick(rng, NUMBERS);
    case "integer":
      return pick(
        rng,
        NUMBERS.filter((x) => Number.isInteger(x) && x < 1e21),
      );
    case "boolean":
      return rng.int(2) === 0;
    default:
      return null;
  }
}

/** As Python's json.dumps writes it: a space after each comma and colon. */
export function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (!isRecord(value)) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([k, v]) => `${JSON.stringify(k)}: ${spaced(v)}`)
    .join(", ")}}`;
}
