import { readdirSync, readFileSync } from "node:fs";
import { dirname, posix } from "node:path";
import { fileURLToPath } from "node:url";

/** One import or re-export of a source file. */
export interface Import {
  /** As written: "../core/errors.ts", "node:fs", "zod". */
  readonly specifier: string;
  /** Path below src/ where the specifier is relative, else undefined. */
  readonly target: string | undefined;
  /** Nothing of it is left when the program runs; `import { type A }` still loads the file. */
  readonly typeOnly: boolean;
}

export interface Source {
  /** Path below src/, with "/". */
  readonly path: string;
  /** The folder below src/, or "" for the files that are the public API. */
  readonly room: string;
  /** Written for tests only. */
  readonly isTest: boolean;
  readonly lines: number;
  /** The text without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

const ROOT = fileURLToPath(new URL("../../src", import.meta.url));

const TEST_ONLY = /\.(test|fixture|test-support)\.ts$|(^|\/)test-[\w-]+(\.node)?\.ts$/;

/** All TypeScript files below src/. */
export function readSources(): Source[] {
  const files = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).map((f) => f.replaceAll("\\", "/"));
  return files
    .filter((f) => f.endsWith(".ts") && !f.endsWith(".d.ts"))
    .sort()
    .map((path) => parseSource(path, readFileSync(`${ROOT}/${path}`, "utf8")));
}

/** What the rules need to know of a file; `path` is relative to src/. */
export function parseSource(path: string, text: string): Source {
  const code = withoutComments(text);
  return {
    path,
    room: path.includes("/") ? path.slice(0, path.indexOf("/")) : "",
    isTest: TEST_ONLY.test(path),
    lines: text.split("\n").length - (text.endsWith("\n") ? 1 : 0),
    code,
    imports: [...importsOf(path, code)],
  };
}

/** Comments become blanks; the text of strings is left alone, so that "https://…" is none. */
function withoutComments(text: string): string {
  const token =
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[dgimsuvy]*(?=\s*[.,;)\]:])|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(token, (t) => (t.startsWith("//") || t.startsWith("/*") ? " " : t));
}

const STATEMENT = /^\s*(import|export)\s+(type\s+)?(?:([^"';]*?)\s+from\s+)?["']([^"'\n]+)["']/gm;
/** import("…"), new URL("./worker.ts", import.meta.url) and import.meta.resolve("…"). */
const EXPRESSION =
  /\bimport\(\s*["']([^"'\n]+)["']|new URL\(\s*["'](\.[^"'\n]+\.ts)["']|\brequire\(\s*["']([^"'\n]+)["']/g;

function* importsOf(path: string, code: string): Generator<Import> {
  const make = (specifier: string, typeOnly: boolean): Import => ({
    specifier,
    target: specifier.startsWith(".") ? posix.join(dirname(path), specifier) : undefined,
    typeOnly,
  });
  for (const [, keyword, type, names, specifier] of code.matchAll(STATEMENT)) {
    if (keyword === "export" && names === undefined) continue;
    yield make(specifier!, type !== undefined);
  }
  for (const [, ...found] of code.matchAll(EXPRESSION))
    yield make(found.find((f) => f !== undefined)!, false);
}
