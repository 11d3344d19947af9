import { fileURLToPath } from "node:url";
import { Rng } from "../src/core/rng.ts";
import { loadEmbedder } from "../src/infer/load-model.node.ts";
import { ImageIndex } from "../src/search/image-index.ts";
import { ImageTable } from "../src/search/image-table.ts";
import { rank } from "../src/search/ranking.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { type BenchContext, type BenchResult, Peer, pair } from "./pair.ts";

const ROWS = 100_000;
const WIDTH = 256;
const QUERIES = 20;
const COUNT = 50;
const COMMIT = 20_000;

/** 50 nearest of 100,000 embeddings, on disk and with their files' facts; against numpy over a matrix in memory. */
export async function search({ python, rounds, versions }: BenchContext): Promise<BenchResult> {
  await using folder = await temporaryFolder();
  const table = await ImageTable.open(folder.path, "bench", WIDTH, "create");
  try {
    const rng = new Rng("bench");
    const queries: Float32Array[] = [];
    for (let from = 0; from < ROWS; from += COMMIT) {
      const rows = Array.from({ length: COMMIT }, (_, i) => {
        const vector = Float32Array.from({ length: WIDTH }, () => rng.normal());
        if (queries.length < QUERIES) queries.push(vector);
        const path = `/pictures/${from + i}.jpg`;
        return { path, size: 1, mtime: 1, hash: path, width: 1, height: 1, error: null, vector };
      });
      await table.upsert(rows);
    }
    const { peer, version } = await Peer.start(python, "search.py", {
      rows: ROWS,
      width: WIDTH,
      queries: QUERIES,
      count: COUNT,
    });
    await using _ = peer;
    const ours = async () => {
      for (const query of queries) await rank(table, query, { count: COUNT, where: undefined, exact: true });
    };
    return await pair("search-100k", ours, peer, rounds, {
      versions: `${versions}; ${version}`,
      note: `${QUERIES} exact queries; ours from disk with facts, the peer a matrix in memory; both choose their threads`,
    });
  } finally {
    table.close();
  }
}

/** The gallery into a new index with nano; against Pillow and a PyTorch ViT of nano's size into a file of numbers. */
export async function indexGallery({
  python,
  threads,
  rounds,
  versions,
}: BenchContext): Promise<BenchResult> {
  const gallery = fileURLToPath(new URL("../gallery", import.meta.url));
  await using embedder = await loadEmbedder(fileURLToPath(new URL("../nano", import.meta.url)), { threads });
  const { peer, version } = await Peer.start(python, "index.py", {
    ...{ folder: gallery, threads, batch: 16 },
    ...{ size: 64, patch: 8, width: 256, heads: 4, hidden: 1024, layers: 8, embed: 256 },
  });
  await using _ = peer;
  let pictures = 0;
  const ours = async () => {
    await using folder = await temporaryFolder();
    await using index = await ImageIndex.open(folder.path, embedder);
    await index.update(gallery);
    pictures = (await index.stats()).images;
  };
  const result = await pair("index-gallery", ours, peer, rounds, { versions: `${versions}; ${version}` });
  return {
    ...result,
    note: `${pictures} pictures; ours 8-bit weights, with hashes and the database; the peer f32`,
  };
}
