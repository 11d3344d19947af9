import { readFileSync } from "node:fs";
import { sizeOf } from "../../src/core/array.ts";

/** Names and shapes of a published checkpoint; the format is described in README.md. */
export interface KeyList {
  readonly name: string;
  /** Name of the layout, as in src/weights/layouts.ts. */
  readonly layout: string;
  /** How many tensors and elements there are: a check on the patterns. */
  readonly tensors: number;
  readonly parameters: number;
  readonly keys: ReadonlyMap<string, readonly number[]>;
}

/** Reads `test/keys/<file>.json`. Throws an Error when a name occurs twice or the number of tensors is not as stated. */
export function readKeyList(file: string): KeyList {
  const text = readFileSync(new URL(`./${file}.json`, import.meta.url), "utf8");
  const raw = JSON.parse(text) as Omit<KeyList, "keys"> & { keys: [string, number[]][] };
  const keys = new Map<string, readonly number[]>();
  for (const [pattern, shape] of raw.keys)
    for (const key of expandBraces(pattern)) {
      if (keys.has(key)) throw new Error(`${file}.json: ${key} occurs twice`);
      keys.set(key, shape);
    }
  if (keys.size !== raw.tensors)
    throw new Error(`${file}.json: states ${raw.tensors} tensors, its patterns give ${keys.size}`);
  return { ...raw, keys };
}

/** Expands "{a,b}", "{0..47}" and "{0..30..2}" as a shell does, the last brace running fastest. */
export function expandBraces(pattern: string): string[] {
  const brace = /\{([^{}]*)\}/.exec(pattern);
  if (brace === null) return [pattern];
  const before = pattern.slice(0, brace.index);
  const rest = expandBraces(pattern.slice(brace.index + brace[0].length));
  return choices(brace[1]!).flatMap((c) => rest.map((r) => before + c + r));
}

function choices(text: string): string[] {
  const range = /^(\d+)\.\.(\d+)(?:\.\.(\d+))?$/.exec(text);
  if (range === null) return text.split(",");
  const [first, last, step] = [range[1], range[2], range[3] ?? 1].map(Number) as [number, number, number];
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => String(first + i * step));
}

/** Number of elements of all tensors whose name fits. */
export const countParameters = (
  keys: Iterable<readonly [key: string, shape: readonly number[]]>,
  pattern = /./,
): number => [...keys].reduce((n, [key, shape]) => n + (pattern.test(key) ? sizeOf(shape) : 0), 0);

/**
 * A name of transformers' format in the other form that files come in: `save_pretrained` writes
 * "language_model.model.norm.weight", the model in memory and some published files have "model.language_model.norm.weight".
 */
export function withModelPrefix(key: string): string {
  if (key.startsWith("language_model.lm_head.")) return key.slice("language_model.".length);
  return `model.${key.replace(/^language_model\.model\./, "language_model.")}`;
}
