import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { ConfigError, messageOf } from "../core/errors.ts";

/** Longest template in UTF-16 units; published ones for tool calling have about a tenth of it. */
export const MAX_TEMPLATE_LENGTH = 2 ** 16;
/** What one rendering may cost, in evaluated expressions: a second or two. Published templates need some dozens a message. */
const MAX_COST = 2 ** 20;
/** A turn of a loop costs that much even if nothing is in it: the library makes scopes for it. */
const TURN_COST = 16;
/** Units of text and items of lists that cost as much as one expression to make or to look through. */
const TEXT_PER_COST = 64;
const ITEMS_PER_COST = 8;
/** Longest text and list that any expression may yield; a context of 131,072 tokens is about a quarter of the text. */
const MAX_TEXT_LENGTH = 2 ** 21;
const MAX_LIST_LENGTH = 2 ** 14;

/** The parts of the library that are used; its own type declarations do not resolve under `nodenext`. */
interface Value {
  readonly value: unknown;
}
interface Statement {
  readonly type: string;
  readonly iterable?: Statement;
  readonly lhs?: Statement;
}
interface Scope {
  set(name: string, value: unknown): void;
}
type InterpreterClass = new (
  scope: Scope,
) => {
  run(program: unknown): Value;
  evaluate(statement: Statement | undefined, scope: Scope): Value;
};

/**
 * The library's interpreter with a budget: a template comes with the model's files and could otherwise loop for ever or
 * fill the memory.
 */
class BoundedInterpreter extends (Interpreter as unknown as InterpreterClass) {
  #cost = 0;
  /** Expressions that loops go through. */
  readonly #iterated = new Set<unknown>();

  override evaluate(statement: Statement | undefined, scope: Scope): Value {
    if (statement?.type === "For") {
      const { iterable } = statement;
      this.#iterated.add(iterable?.type === "SelectExpression" ? iterable.lhs : iterable);
    }
    const result = super.evaluate(statement, scope);
    const { value } = result;
    this.#cost++;
    if (typeof value === "string") {
      this.#cost += value.length / TEXT_PER_COST;
      if (value.length > MAX_TEXT_LENGTH) throw new Error(`a text above ${MAX_TEXT_LENGTH} characters`);
    }
    if (Array.isArray(value) || value instanceof Map) {
      const length = Array.isArray(value) ? value.length : value.size;
      this.#cost += this.#iterated.has(statement) ? length * TURN_COST : length / ITEMS_PER_COST;
      if (length > MAX_LIST_LENGTH) throw new Error(`a list above ${MAX_LIST_LENGTH} items`);
    }
    if (this.#cost > MAX_COST) throw new Error("it does too much: is there a loop without end?");
    return result;
  }
}

/**
 * Renders a Jinja template as transformers renders chat templates: blocks leave no whitespace, and `raise_exception`,
 * `range` and `strftime_now` are there. Throws ConfigError that begins with `where` for a template that is too long,
 * cannot be parsed, fails, or does too much.
 */
export function renderJinja(
  template: string,
  variables: Readonly<Record<string, unknown>>,
  where: string,
  now: Date,
): string {
  if (template.length > MAX_TEMPLATE_LENGTH)
    throw new ConfigError(
      `${where}: ${template.length} characters, expected at most ${MAX_TEMPLATE_LENGTH} of a chat template`,
    );
  try {
    const scope = new (Environment as unknown as new () => Scope)();
    for (const [name, value] of Object.entries({ ...globals(now), ...variables })) scope.set(name, value);
    const program: unknown = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
    return String(new BoundedInterpreter(scope).run(program).value);
  } catch (cause) {
    throw new ConfigError(`${where}: this chat template cannot be rendered: ${messageOf(cause)}`, { cause });
  }
}

function globals(now: Date): Record<string, unknown> {
  const constants = { true: true, false: false, none: null, True: true, False: false, None: null };
  const raise_exception = (message: unknown): never => {
    throw new Error(String(message));
  };
  return { ...constants, raise_exception, range, strftime_now: (format: unknown) => strftime(now, format) };
}

/** Python's range, as a list. */
function range(...args: readonly unknown[]): number[] {
  if (args.length < 1 || args.length > 3 || !args.every(Number.isSafeInteger))
    throw new Error("range: expected one to three integers");
  const [first, second, step = 1] = args as number[];
  const [start, stop] = second === undefined ? [0, first!] : [first!, second];
  if (step === 0) throw new Error("range: the step is 0");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > MAX_LIST_LENGTH) throw new Error(`range: above ${MAX_LIST_LENGTH} items`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** Python's strftime in the C locale, as far as dates in prompts need it. */
function strftime(now: Date, format: unknown): string {
  const month = (style: "long" | "short") => now.toLocaleString("en-US", { month: style });
  const two = (n: number) => String(n).padStart(2, "0");
  const fields: Readonly<Record<string, string>> = {
    ...{ Y: String(now.getFullYear()), m: two(now.getMonth() + 1), d: two(now.getDate()) },
    ...{ B: month("long"), b: month("short"), H: two(now.getHours()), M: two(now.getMinutes()) },
    ...{ S: two(now.getSeconds()), "%": "%" },
  };
  return String(format).replace(/%(.?)/g, (_, letter: string) => {
    const field = fields[letter];
    if (field === undefined) throw new Error(`strftime_now: %${letter} is not supported`);
    return field;
  });
}
