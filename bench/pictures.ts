import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { loadForModel } from "../src/vision/preprocess.node.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { type BenchContext, type BenchResult, Peer, pair } from "./pair.ts";

const SCENE = fileURLToPath(new URL("../test/parity/golden/scene.jpg", import.meta.url));
const PHOTOS = 8;
const SIZE = 448;

/** Photographs of 12 megapixels, JPEG, to 448² for the model; against Pillow in as many threads. */
export async function preprocess({ python, threads, rounds, versions }: BenchContext): Promise<BenchResult> {
  await using folder = await temporaryFolder();
  const paths = await Promise.all(
    Array.from({ length: PHOTOS }, async (_, i) => {
      const path = join(folder.path, `${i}.jpg`);
      await sharp(SCENE)
        .resize(4032, 3024, { fit: "fill" })
        .rotate(i % 2 === 0 ? 0 : 180)
        .jpeg({ quality: 90 })
        .toFile(path);
      return path;
    }),
  );
  const { peer, version } = await Peer.start(python, "pictures.py", { threads, size: SIZE, paths });
  await using _ = peer;
  const ours = () => Promise.all(paths.map((path) => loadForModel(path, { size: SIZE, framing: "squash" })));
  return await pair("preprocess-12mp", ours, peer, rounds, {
    versions: `${versions}; sharp ${sharp.versions.sharp ?? "?"}; ${version}`,
    note: `${PHOTOS} photographs; ours with the default resampling, on the four threads of Node's pool`,
  });
}
