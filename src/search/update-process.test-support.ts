/**
 * An update in a process of its own, to be killed: `INDEX FOLDER DELAY_MS`. Says "embedding" when the work has begun
 * and "done" at its end.
 */
import { ImageIndex } from "./image-index.ts";
import { fakeEmbedder } from "./test-support.ts";

const [dir, folder, delayMs] = process.argv.slice(2);
await using index = await ImageIndex.open(dir!, fakeEmbedder({ delayMs: Number(delayMs) }));
let begun = false;
await index.update(folder!, {
  limits: { batch: 2, commitRows: 4 },
  onProgress: ({ phase }) => {
    if (begun || phase !== "embed") return;
    begun = true;
    console.log("embedding");
  },
});
console.log("done");
