import type { EvalOptions, EvalProgress } from "../eval/embed-all.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { Framing } from "../vision/image.ts";
import { type Context, progressOf } from "./context.ts";
import { evalCache } from "./paths.ts";

const LABELS: Readonly<Record<EvalProgress["phase"], string>> = {
  pictures: "embedding pictures",
  texts: "embedding texts",
  ranking: "ranking",
  prompts: "embedding prompts",
};

/** A progress bar for evaluations. */
export function evalProgress(context: Context): Disposable & { report(progress: EvalProgress): void } {
  const bar = progressOf(context);
  return {
    report: ({ phase, done, total }) => bar.update({ label: LABELS[phase], done, total }),
    [Symbol.dispose]: () => bar.clear(),
  };
}

/** What both evaluations take from the context and the common options. */
export async function evalOptionsOf(
  context: Context,
  embedder: Embedder,
  framing: Framing,
  options: { readonly batch: number; readonly cache: boolean },
): Promise<EvalOptions> {
  const { openEmbeddingCache } = await import("../eval/embedding-cache.node.ts");
  return {
    loadImage: (path) => context.services.loadImage(path, { size: embedder.imageSize, framing }),
    signal: context.signal,
    batchSize: options.batch,
    ...(options.cache
      ? { cache: await openEmbeddingCache(evalCache(context.env), `${embedder.id} ${framing}`) }
      : {}),
  };
}
