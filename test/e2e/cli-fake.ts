/**
 * The command line over stand-ins for what needs weights: an embedder that knows colours, a training that only
 * reports, a comparison with fixed results. Run by the tests as a process; everything else in it is real.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { runProcess } from "../../src/cli/process.ts";
import { defaultServices } from "../../src/cli/services.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { colourEmbedder } from "../../src/eval/colour-embedder.fixture.ts";

await runProcess({
  ...defaultServices,
  async loadEmbedder(path, { threads } = {}) {
    if (path === "defect") throw new TypeError("weights is not a function");
    if (path === "none") throw new ConfigError(`${path}: expected a folder with config.json, found none`);
    const embedder = colourEmbedder();
    const id = path.endsWith("nano") || path === "slow" ? "colours" : `${path}-${threads ?? 0}`;
    if (path !== "slow") return { ...embedder, id };
    return {
      ...embedder,
      id,
      async embedImages(images, options) {
        process.stderr.write("embedding\n");
        await sleep(60_000, undefined, options);
        return embedder.embedImages(images);
      },
    };
  },
  async train(recipe, { signal, onProgress, onBroken, threads } = {}) {
    onBroken?.("x.png", "not a picture");
    for (let step = 1; step <= 3; step++) {
      onProgress?.({
        step,
        steps: 3,
        loss: 4 / step,
        gradNorm: 1,
        scale: 14,
        imagesPerSecond: 100,
        etaSeconds: 3 - step,
        recall: { "heldout.en.R@10": step / 4 },
      });
      if (recipe === "slow.json") await sleep(60_000, undefined, signal && { signal });
    }
    return { steps: 3, output: `model-${threads ?? 0}` };
  },
  async *parity(dir, { signal, onProgress }) {
    if (dir === "empty") return;
    if (dir === "slow") {
      process.stderr.write("computing\n");
      await sleep(60_000, undefined, { signal });
    }
    onProgress?.({ phase: "computing", done: 0, total: 3 });
    yield { name: "vit_last_hidden", status: "ok", maxAbs: 1.5e-6, maxRel: 2e-5, tolerance: 1e-4 };
    yield {
      name: "caption.beam5",
      status: "unsupported",
      maxAbs: Number.NaN,
      maxRel: Number.NaN,
      tolerance: Number.NaN,
    };
    if (dir === "bad") yield { name: "c_text", status: "fail", maxAbs: 0.3, maxRel: 0.25, tolerance: 1e-4 };
  },
});
