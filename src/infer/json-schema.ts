import { UsageError } from "../core/errors.ts";
import { type GrammarSymbol, Rule } from "./byte-grammar.ts";
import {
  anyObject,
  anyString,
  anyValue,
  arrayOf,
  boolean,
  constant,
  integer,
  nothing,
  number,
  objectOf,
} from "./json-grammar.ts";

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
type Type = (typeof TYPES)[number];

/** Keywords that say nothing about which values are valid. */
const ANNOTATIONS = new Set([
  ...["title", "description", "default", "examples", "$schema", "$id", "$comment"],
  ...["deprecated", "readOnly", "writeOnly"],
]);
const OF_OBJECTS = ["properties", "required", "additionalProperties"];
const OF_ARRAYS = ["items", "minItems", "maxItems"];
const OF_VALUES = ["const", "enum"];
const DEFINITIONS = ["$defs", "definitions"];
const SUPPORTED = ["type", ...OF_OBJECTS, ...OF_ARRAYS, ...OF_VALUES, "anyOf", "$ref", "$defs"];

/** What a schema may cost: characters of its JSON, levels, members of one list. */
const MAX_CHARACTERS = 256 * 1024;
const MAX_DEPTH = 200;
const MAX_MEMBERS = 1000;
const MAX_ITEMS = 1_000_000;
const MAX_PROBLEMS = 10;

/** The grammar of `response_format: { type: "json_object" }`: any object. */
export const jsonObjectGrammar: GrammarSymbol = anyObject;

/**
 * The grammar of the JSON texts that are valid under a schema (JSON Schema 2020-12). Throws a UsageError with all
 * problems: a keyword that is not supported is refused, never ignored.
 *
 * Supported: type (one or several), properties, required, additionalProperties, items, minItems, maxItems, enum, const,
 * anyOf, $ref to `#`, `#/$defs/NAME` or `#/definitions/NAME` (recursive too), and annotations, which are ignored.
 *
 * Limits. properties or items without a type mean an object or an array. enum and const stand alone or beside type,
 * anyOf and $ref alone. Keys, and strings in enum and const, have the spelling that JSON.stringify gives them; numbers
 * in enum and const too. Numbers have at most 21 digits before and 25 after the point, an integer has neither point nor
 * exponent, and a number with an exponent is below 10^308. Blanks: one space after `:`; after `,` and inside of
 * brackets one space, or a new line with up to 32 spaces. A schema whose values would have to be infinite (a required
 * member of the object's own type) is not noticed: its texts find no end.
 */
export function jsonSchemaGrammar(schema: unknown, where = "json_schema"): GrammarSymbol {
  if (!isShallow(schema)) throw new UsageError(`${where}: expected at most ${MAX_DEPTH} levels of JSON`);
  const size = JSON.stringify(schema)?.length ?? 0;
  if (size > MAX_CHARACTERS)
    throw new UsageError(`${where}: expected at most ${MAX_CHARACTERS} characters of JSON, found ${size}`);
  const compiler = new Compiler(schema);
  const grammar = compiler.compile();
  if (compiler.problems.length > 0)
    throw new UsageError(
      `${where}: this schema cannot constrain a text:\n${compiler.problems.map((p) => `  ${p}`).join("\n")}`,
    );
  return grammar;
}

type Fields = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Stands for what could not be compiled; a problem has been noted. */
const REFUSED = anyValue;

/** Where the compiler is. */
interface Place {
  readonly path: string;
  /** The definition whose value begins here, before any of it was read. */
  readonly begins: string | undefined;
}

class Compiler {
  readonly problems: string[] = [];
  readonly #definitions = new Map<string, Rule>();
  /** Which definitions a definition's value may begin with, without a byte in between. */
  readonly #beginsWith = new Map<string, Set<string>>();

  constructor(readonly root: unknown) {}

  compile(): GrammarSymbol {
    const sources = new Map<string, unknown>([["#", this.root]]);
    if (isObject(this.root))
      for (const key of DEFINITIONS) {
        const table = this.root[key];
        if (table === undefined) continue;
        if (isObject(table))
          for (const [name, schema] of Object.entries(table)) sources.set(`#/${key}/${name}`, schema);
        else this.#problem(`#/${key}`, "expected an object of schemas");
      }
    const compiled = new Map<string, GrammarSymbol>();
    for (const name of sources.keys()) {
      this.#definitions.set(name, new Rule(() => [[compiled.get(name)!]]));
      this.#beginsWith.set(name, new Set());
    }
    for (const [name, schema] of sources)
      compiled.set(name, this.#schema(schema, { path: name, begins: name }));
    for (const name of sources.keys())
      if (this.#reaches(name, name)) this.#problem(name, "refers to itself without anything in between");
    return this.#definitions.get("#")!;
  }

  #problem(path: string, text: string): GrammarSymbol {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(`${path}: ${text}`);
    return REFUSED;
  }

  #schema(schema: unknown, place: Place): GrammarSymbol {
    const { path } = place;
    if (schema === true) return anyValue;
    if (schema === false) return this.#problem(path, "false allows no value");
    if (!isObject(schema)) return this.#problem(path, `expected a schema, found ${JSON.stringify(schema)}`);
    const keys = Object.keys(schema).filter(
      (key) => !ANNOTATIONS.has(key) && !(path === "#" && DEFINITIONS.includes(key)),
    );
    const unsupported = keys.filter((key) => !SUPPORTED.includes(key) || DEFINITIONS.includes(key));
    if (unsupported.length > 0)
      return this.#problem(
        path,
        `not supported here: ${unsupported.map((k) => JSON.stringify(k)).join(", ")}; supported are ${SUPPORTED.join(", ")}`,
      );
    for (const key of ["$ref", "anyOf"])
      if (keys.includes(key) && keys.length > 1)
        return this.#problem(
          path,
          `${key} is supported alone, not beside ${keys.filter((k) => k !== key).join(", ")}`,
        );
    if (schema.$ref !== undefined) return this.#reference(schema.$ref, place);
    if (schema.anyOf !== undefined) return this.#anyOf(schema.anyOf, place);
    const types = this.#types(schema, path);
    if (keys.some((key) => OF_VALUES.includes(key))) return this.#values(schema, keys, types, path);
    return new Rule(oneEach(types.map((type) => this.#ofType(type, schema, place))));
  }

  #reference(ref: unknown, { path, begins }: Place): GrammarSymbol {
    const name = typeof ref === "string" ? pointerName(ref) : undefined;
    const rule = name === undefined ? undefined : this.#definitions.get(name);
    if (name === undefined || rule === undefined)
      return this.#problem(
        path,
        `expected a $ref to "#" or to a name in "#/$defs", found ${JSON.stringify(ref)}`,
      );
    if (begins !== undefined) this.#beginsWith.get(begins)!.add(name);
    return rule;
  }

  #anyOf(options: unknown, place: Place): GrammarSymbol {
    if (!this.#isList(options, `${place.path}/anyOf`)) return REFUSED;
    const symbols = options.map((option, i) =>
      this.#schema(option, { ...place, path: `${place.path}/anyOf/${i}` }),
    );
    return new Rule(oneEach(symbols));
  }

  #types(schema: Fields, path: string): readonly Type[] {
    const { type } = schema;
    if (type === undefined) {
      const implied: Type[] = [];
      if (OF_OBJECTS.some((key) => key in schema)) implied.push("object");
      if (OF_ARRAYS.some((key) => key in schema)) implied.push("array");
      return implied.length > 0 ? implied : TYPES;
    }
    const types = Array.isArray(type) ? type : [type];
    if (types.length > 0 && types.every((t): t is Type => TYPES.includes(t as Type))) return types;
    this.#problem(path, `expected a type among ${TYPES.join(", ")}, found ${JSON.stringify(type)}`);
    return TYPES;
  }

  #values(schema: Fields, keys: readonly string[], types: readonly Type[], path: string): GrammarSymbol {
    const others = keys.filter((key) => key !== "type");
    if (others.length > 1)
      return this.#problem(path, `expected const or enum alone or beside type, found ${others.join(", ")}`);
    if ("enum" in schema && !this.#isList(schema.enum, `${path}/enum`)) return REFUSED;
    const values = ("enum" in schema ? (schema.enum as readonly unknown[]) : [schema.const]).filter((value) =>
      types.some((type) => isOfType(value, type)),
    );
    if (values.length === 0) return this.#problem(path, "no value of const or enum has the type");
    if (/\p{Surrogate}/u.test(values.map(textsOf).join()))
      return this.#problem(path, "a text holds half of a surrogate pair");
    return new Rule(oneEach(values.map(constant)));
  }

  #ofType(type: Type, schema: Fields, place: Place): GrammarSymbol {
    switch (type) {
      case "object":
        return this.#object(schema, place);
      case "array":
        return this.#array(schema, place);
      case "string":
        return anyString;
      case "number":
        return number;
      case "integer":
        return integer;
      case "boolean":
        return boolean;
      case "null":
        return nothing;
    }
  }

  #object(schema: Fields, { path }: Place): GrammarSymbol {
    const { properties = {}, required = [], additionalProperties = true } = schema;
    const inside = (name: string): Place => ({
      path: `${path}/${name}`,
      begins: undefined,
    });
    if (!isObject(properties) || Object.keys(properties).length > MAX_MEMBERS)
      return this.#problem(path, `expected properties to be an object of at most ${MAX_MEMBERS} schemas`);
    if (
      !Array.isArray(required) ||
      required.length > MAX_MEMBERS ||
      !required.every((name) => typeof name === "string")
    )
      return this.#problem(path, `expected required to be a list of at most ${MAX_MEMBERS} names`);
    if (/\p{Surrogate}/u.test([...Object.keys(properties), ...required].join()))
      return this.#problem(path, "a name holds half of a surrogate pair");
    const others =
      additionalProperties === false
        ? undefined
        : this.#schema(additionalProperties, inside("additionalProperties"));
    const members = new Map<string, GrammarSymbol>();
    for (const [name, value] of Object.entries(properties))
      members.set(name, this.#schema(value, inside(`properties/${name}`)));
    for (const name of required) {
      if (members.has(name)) continue;
      if (others === undefined)
        return this.#problem(
          path,
          `"${name}" is required, but neither in properties nor allowed beside them`,
        );
      members.set(name, others);
    }
    return objectOf({ properties: members, required: new Set(required), others });
  }

  #array(schema: Fields, { path }: Place): GrammarSymbol {
    const { items = true, minItems = 0, maxItems } = schema;
    const isCount = (n: unknown): n is number =>
      Number.isInteger(n) && (n as number) >= 0 && (n as number) <= MAX_ITEMS;
    if (!isCount(minItems) || !(maxItems === undefined || isCount(maxItems)))
      return this.#problem(path, `expected minItems and maxItems to be whole numbers up to ${MAX_ITEMS}`);
    const max = items === false ? 0 : (maxItems ?? Infinity);
    if (minItems > max)
      return this.#problem(path, `${minItems} items or more and ${max} or fewer allow no array`);
    const item =
      items === false ? anyValue : this.#schema(items, { path: `${path}/items`, begins: undefined });
    return arrayOf(item, minItems, max);
  }

  #isList(list: unknown, path: string): list is readonly unknown[] {
    if (Array.isArray(list) && list.length > 0 && list.length <= MAX_MEMBERS) return true;
    this.#problem(path, `expected a list of 1 to ${MAX_MEMBERS} members`);
    return false;
  }

  /** Whether the value of `from` may begin with one of `to`. */
  #reaches(from: string, to: string): boolean {
    const found = new Set(this.#beginsWith.get(from));
    for (const name of found) for (const next of this.#beginsWith.get(name) ?? []) found.add(next);
    return found.has(to);
  }
}

const oneEach = (symbols: readonly GrammarSymbol[]) => () => [...new Set(symbols)].map((s) => [s]);

/** Whether a value has no more than MAX_DEPTH levels. One that holds itself has more. */
function isShallow(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++)
    level = level.flatMap((v) => (typeof v === "object" && v !== null ? Object.values(v) : []));
  return level.length === 0;
}

/** `#/$defs/a~1b%20c` -> `#/$defs/a/b c` (RFC 6901, §6). */
function pointerName(ref: string): string | undefined {
  const match = /^#(?:\/(\$defs|definitions)\/([^/]*))?$/.exec(ref);
  if (match === null) return undefined;
  if (match[1] === undefined) return "#";
  try {
    return `#/${match[1]}/${decodeURIComponent(match[2]!).replaceAll("~1", "/").replaceAll("~0", "~")}`;
  } catch {
    return undefined; // a % that begins no code
  }
}

function isOfType(value: unknown, type: Type): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  // Values from JSON are finite; 1e400 in a schema's text is not.
  if (type === "integer") return Number.isInteger(value);
  if (type === "number") return Number.isFinite(value);
  return typeof value === type;
}

/** All texts of a value. */
const textsOf = (value: unknown): string => {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(textsOf).join();
  if (isObject(value))
    return Object.entries(value)
      .map(([k, v]) => `${k},${textsOf(v)}`)
      .join();
  return "";
};
