import { describe, expect, test } from "vitest";
import { findCycle } from "./architecture/cycles.ts";
import { parseSource, readSources, type Source } from "./architecture/sources.ts";

/**
 * Who may import whom: a room may import those it names and whatever they may import.
 * A room that is not here fails the test: give it a row.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  graph: ["core"],
  ops: ["graph"],
  autodiff: ["ops"],
  nn: ["ops"],
  onnx: ["graph", "ops"],
  runtime: ["onnx"],
  // A weight is handed to a session where it lies, as a byte range of a file: `TensorSource` is the runtime's type.
  weights: ["graph", "runtime"],
  // Precision is a change of the tree of modules and of the weights that belong to it, made in one place.
  models: ["nn", "weights"],
  vision: ["core"],
  text: ["core"],
  data: ["vision", "text"],
  infer: ["models", "runtime", "weights", "vision", "text"],
  // Fetches what loaders read: it knows the names of models, weights and tokenizers, and nothing of running them.
  hub: ["models", "text"],
  train: ["models", "autodiff", "runtime", "weights", "data"],
  // Parity runs five training steps, and a held-out set is measured while training.
  eval: ["infer", "data", "train"],
  search: ["infer"],
  // The three faces. They are started by, and never imported from, what is below them.
  server: ["eval", "search"],
  web: ["server"],
  cli: ["eval", "search", "server", "hub"],
  // index.ts and browser.ts: the public API.
  "": ["eval", "search", "server", "hub"],
};

/** Rooms whose files run in a browser unless they are called *.node.ts. */
const PORTABLE = [
  ...["core", "graph", "ops", "autodiff", "nn", "models", "onnx", "weights", "vision", "text", "infer"],
  ...["runtime", "web"],
];

const NATIVE = /^(node:|sharp$|koffi$|onnxruntime-node|@lancedb\/|yauzl$|node-av(\/|$))/;

/** Code of a file's size that asks what second thing lives in it. */
const MAX_LINES = 400;

const sources = readSources();
const product = sources.filter((s) => !s.isTest);
const byPath = new Map(sources.map((s) => [s.path, s]));

/** All rooms that a room may import, itself included. */
function reachable(room: string): Set<string> {
  const found = new Set([room]);
  for (const r of found) for (const next of ROOMS[r] ?? []) found.add(next);
  return found;
}

const isNodeFile = (path: string) => /\.node(\.test)?\.ts$/.test(path);

describe("imports", () => {
  test("the table has no cycle, and every room a row", () => {
    expect(findCycle(new Map(Object.entries(ROOMS)))).toBeUndefined();
    expect([...new Set(product.map((s) => s.room))].filter((room) => !(room in ROOMS))).toEqual([]);
  });

  test("go only where the table allows", () => {
    expect(product.flatMap((s) => forbidden(s))).toEqual([]);
  });

  test("name files that exist", () => {
    const missing = sources.flatMap((s) =>
      s.imports
        .filter((i) => i.target?.endsWith(".ts") && !i.target.startsWith("..") && !byPath.has(i.target))
        .map((i) => `${s.path} imports ${i.specifier}`),
    );
    expect(missing).toEqual([]);
  });

  test("product code does not use what is for tests", () => {
    const found = product.flatMap((s) =>
      s.imports
        .filter((i) => byPath.get(i.target ?? "")?.isTest)
        .map((i) => `${s.path} imports ${i.specifier}`),
    );
    expect(found).toEqual([]);
  });

  // Types vanish before the program runs: the graph's Node and its Op name each other.
  test("no file reaches itself", () => {
    const edges = new Map(
      product.map((s) => [
        s.path,
        s.imports.flatMap((i) => (i.target !== undefined && !i.typeOnly ? [i.target] : [])),
      ]),
    );
    expect(findCycle(edges)).toBeUndefined();
  });
});

/** The imports of a file that its room may not make. */
function forbidden(s: Source): string[] {
  const allowed = reachable(s.room);
  return s.imports.flatMap(({ target, specifier }) => {
    if (target === undefined || target.startsWith("..")) return [];
    const to = target.includes("/") ? target.slice(0, target.indexOf("/")) : "";
    return allowed.has(to) ? [] : [`${s.path} imports ${specifier}: ${s.room} may not import ${to}`];
  });
}

describe("a browser can run the portable rooms", () => {
  const portable = product.filter((s) => PORTABLE.includes(s.room) && !isNodeFile(s.path));

  test("their files import no module of Node and no native package", () => {
    expect(portable.flatMap((s) => nativeImports(s))).toEqual([]);
  });

  test("their files use no value of a *.node.ts file", () => {
    const found = portable.flatMap((s) =>
      s.imports
        .filter((i) => !i.typeOnly && i.target !== undefined && isNodeFile(i.target))
        .map((i) => `${s.path} imports ${i.specifier}`),
    );
    expect(found).toEqual([]);
  });

  test("their files use no global of Node", () => {
    const found = portable.flatMap((s) =>
      [...s.code.matchAll(/(?<![.\w"'])(process\.\w+|Buffer\.\w+|__dirname|require\()/g)].map(
        ([text]) => `${s.path} uses ${text}`,
      ),
    );
    expect(found).toEqual([]);
  });
});

const nativeImports = (s: Source): string[] =>
  s.imports.filter((i) => NATIVE.test(i.specifier)).map((i) => `${s.path} imports ${i.specifier}`);

describe("files", () => {
  test(`have at most ${MAX_LINES} lines`, () => {
    expect(product.filter((s) => s.lines > MAX_LINES).map((s) => `${s.path}: ${s.lines}`)).toEqual([]);
  });

  test("have no default exports and no enums", () => {
    const found = sources.flatMap((s) =>
      [
        ...s.code.matchAll(
          /^\s*export\s+default\b|^\s*(?:export\s+)?(?:const\s+)?enum\s+\w+|\bas default\b/gm,
        ),
      ].map(([text]) => `${s.path}: ${text.trim()}`),
    );
    expect(found).toEqual([]);
  });

  test("have names in kebab-case, or the published name of a network", () => {
    const odd = sources.filter(
      (s) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.(node|web|test|fixture|test-support|worker))*\.ts$/.test(
          s.path.slice(s.path.lastIndexOf("/") + 1),
        ) && !/^models\/[a-z0-9_]+(\.test)?\.ts$/.test(s.path),
    );
    expect(odd.map((s) => s.path)).toEqual([]);
  });
});

describe("the rules see", () => {
  const parse = (text: string) => parseSource("core/a.ts", text);

  test.each<[string, string, boolean]>([
    ['import { a } from "../ops/index.ts";', "ops/index.ts", false],
    ['import {\n  type A,\n  b,\n} from "../ops/index.ts";', "ops/index.ts", false],
    ['import { type A, type B } from "../ops/index.ts";', "ops/index.ts", false],
    ['import type { A } from "../ops/index.ts";', "ops/index.ts", true],
    ['import * as a from "../ops/index.ts";', "ops/index.ts", false],
    ['import "../ops/index.ts";', "ops/index.ts", false],
    ['export * from "../ops/index.ts";', "ops/index.ts", false],
    ['export { a } from "../ops/index.ts";', "ops/index.ts", false],
    ['const a = await import("../ops/index.ts");', "ops/index.ts", false],
    ['new Worker(new URL("../ops/index.ts", import.meta.url));', "ops/index.ts", false],
  ])("%j", (text, target, typeOnly) => {
    expect(parse(text).imports).toEqual([{ specifier: "../ops/index.ts", target, typeOnly }]);
    expect(forbidden(parse(text))).toEqual([expect.stringContaining("core may not import ops")]);
  });

  test("native modules, and not what comments and strings say", () => {
    expect(nativeImports(parse('import { readFile } from "node:fs/promises";'))).toHaveLength(1);
    expect(
      nativeImports(parse('import sharp from "sharp";\nimport { x } from "@lancedb/lancedb";')),
    ).toHaveLength(2);
    expect(
      parse('// import { a } from "node:fs";\n/* import "sharp"; */\nconst a = "x // y";').imports,
    ).toEqual([]);
    expect(parse('const a = "https://x"; // process.env\n').code).not.toContain("process");
    expect(parse('const a = "https://x";').code).toContain("https://x");
  });

  test("cycles", () => {
    expect(
      findCycle(
        new Map([
          ["a", ["b"]],
          ["b", ["c"]],
          ["c", ["b"]],
        ]),
      ),
    ).toEqual(["b", "c", "b"]);
    expect(
      findCycle(
        new Map([
          ["a", ["b", "c"]],
          ["b", ["c"]],
          ["c", []],
        ]),
      ),
    ).toBeUndefined();
  });
});
