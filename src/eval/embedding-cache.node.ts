import { createReadStream } from "node:fs";
import { appendFile, mkdir, stat, truncate } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { EmbeddingCache } from "./embed-all.ts";

/** One line of the cache file: the key and the f32 values in base64. */
type Line = readonly [key: string, values: string];

/**
 * A cache of embeddings in one append-only file per `id` (the model's id and how pictures are framed: whatever
 * changes an embedding). A last line cut off by a kill is removed at the next opening; so an evaluation that was
 * stopped goes on where it was. Pictures are known by path, size and modification time.
 */
export async function openEmbeddingCache(folder: string, id: string): Promise<EmbeddingCache> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${id.replaceAll(/[^\w.-]+/g, "_")}.jsonl`);
  const known = await read(file);
  return {
    async imageKey(path) {
      const { size, mtimeMs } = await stat(path);
      return `image ${size} ${mtimeMs} ${resolve(path)}`;
    },
    get: (key) => known.get(key),
    async set(entries) {
      await appendFile(file, entries.map(([key, values]) => `${encode(key, values)}\n`).join(""));
      for (const [key, values] of entries) known.set(key, values);
    },
  };
}

function encode(key: string, values: Float32Array): string {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return JSON.stringify([key, bytes.toString("base64")] satisfies Line);
}

async function read(file: string): Promise<Map<string, Float32Array>> {
  const known = new Map<string, Float32Array>();
  const info = await stat(file).catch(() => undefined);
  if (!info) return known;
  let whole = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    const entry = decode(line);
    if (!entry) break;
    known.set(...entry);
    whole += Buffer.byteLength(line) + 1;
  }
  // Whatever follows the last whole line would glue itself to the next one that is appended.
  if (whole !== info.size) await truncate(file, Math.min(whole, info.size));
  return known;
}

function decode(line: string): [string, Float32Array] | undefined {
  try {
    const [key, values] = JSON.parse(line) as Line;
    const bytes = Buffer.from(values, "base64");
    const copy = new Uint8Array(bytes);
    return [key, new Float32Array(copy.buffer)];
  } catch {
    return undefined;
  }
}
