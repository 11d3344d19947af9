import { readFile, stat } from "node:fs/promises";
import { ConfigError, ShapeError } from "../core/errors.ts";

/** The JSON of a recipe; throws a ConfigError that names the file. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((e: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: cannot be read (${e.code}); give the path of a recipe`, { cause: e });
  });
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ConfigError(`${path}: not JSON: ${(e as Error).message}`, { cause: e });
  }
}

/** Puts the place that a recipe's mistake is in before its message. */
export function naming<T>(where: string, check: () => T): T {
  try {
    return check();
  } catch (e) {
    if (!(e instanceof ShapeError || e instanceof ConfigError)) throw e;
    throw new ConfigError(`${where}${e.message}`, { cause: e });
  }
}

/** Throws a ConfigError with all fields that name nothing. */
export async function checkPaths(
  recipePath: string,
  fields: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const problems: string[] = [];
  for (const [field, path] of Object.entries(fields)) {
    if (path === undefined) continue;
    const reason = await stat(path).then(
      () => undefined,
      (e: NodeJS.ErrnoException) => (e.code === "ENOENT" ? "does not exist" : `cannot be read (${e.code})`),
    );
    if (reason) problems.push(`${field}: ${path} ${reason}`);
  }
  if (problems.length > 0)
    throw new ConfigError(
      `${recipePath}: paths are relative to the recipe's folder\n  ${problems.join("\n  ")}`,
    );
}
