/** Indexes a folder of pictures and searches it. `npm run -s example -- examples/search.ts FOLDER QUERY` */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ImageIndex, loadEmbedder, NANO, type SearchResult } from "internvl";

export async function search(folder: string, query: string, indexDir: string): Promise<SearchResult[]> {
  await using model = await loadEmbedder(NANO);
  await using index = await ImageIndex.open(indexDir, model);
  // Only what is new or has changed is embedded.
  const { problems } = await index.update(folder);
  for (const { path, reason } of problems) console.error(`${path}: ${reason}`);
  return index.search({ text: query, k: 5 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = ".", query = ""] = process.argv.slice(2);
  for (const { path, score } of await search(folder, query, join(tmpdir(), "internvl-example-index")))
    console.log(score.toFixed(3), path);
}
