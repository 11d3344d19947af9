import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { writeWhole } from "../core/write-whole.node.ts";

const FORMAT = 1;

const Manifest = z.strictObject({
  format: z.literal(FORMAT),
  /** Embedder.id of all embeddings. */
  model: z.string(),
  /** Width of an embedding. */
  dimension: z.int().positive(),
  /** Name of the table in use; a rebuild begins another and then changes this. */
  table: z.string().regex(/^images-\d+$/),
  /** Absolute real paths. */
  folders: z.array(z.string()),
  /** Pictures that the vector index was trained on; 0 without one. */
  trainedOn: z.int().nonnegative(),
});

/** What an index is, beside its table: the file `index.json`. */
export type Manifest = z.infer<typeof Manifest>;

const fileOf = (indexDir: string): string => join(indexDir, "index.json");

/** Undefined where there is no index. Throws a ConfigError for a damaged one or one of another version. */
export async function readManifest(indexDir: string): Promise<Manifest | undefined> {
  const file = fileOf(indexDir);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new ConfigError(
      `${file}: expected a readable file, found ${code}; check the path and its permissions`,
      {
        cause: e,
      },
    );
  }
  try {
    return Manifest.parse(JSON.parse(text));
  } catch (e) {
    const why = e instanceof z.ZodError ? z.prettifyError(e).replaceAll("\n", " ") : "no JSON";
    throw new ConfigError(
      `${file}: expected an image index of format ${FORMAT}, found something else (${why}); remove the folder and index again`,
      { cause: e },
    );
  }
}

/** Replaces the file in one step: after a crash it is the old or the new one. */
export async function writeManifest(indexDir: string, manifest: Manifest): Promise<void> {
  await writeWhole(fileOf(indexDir), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** The command that makes the index anew, for messages. */
export const rebuildCommand = (indexDir: string): string =>
  `internvl index --rebuild --index ${/^[\w./-]+$/.test(indexDir) ? indexDir : JSON.stringify(indexDir)}`;

/** The table name that follows `name`. */
export const nextTable = (name: string): string => `images-${Number(name.slice("images-".length)) + 1}`;
