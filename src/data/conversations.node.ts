import { resolve } from "node:path";
import { type ConversationRow, parseAnnotation } from "./conversations.ts";
import { streamLines } from "./manifest.node.ts";

/** All rows of a file of conversations; pictures are below `root`. Throws a ConfigError, see {@link parseAnnotation}. */
export async function readAnnotation(file: string, root: string): Promise<ConversationRow[]> {
  const rows: ConversationRow[] = [];
  for await (const row of parseAnnotation(streamLines(file), {
    name: file,
    resolve: (image) => resolve(root, image),
  }))
    rows.push(row);
  return rows;
}
