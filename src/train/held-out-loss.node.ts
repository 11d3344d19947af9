import type { HostTensor } from "../core/array.ts";
import type { InternVLChat } from "../models/internvl_chat.ts";
import { parameters } from "../nn/module.ts";
import { emit } from "../onnx/emit.ts";
import { fuse } from "../onnx/fuse.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingText } from "../text/training-text.ts";
import type { RgbImage } from "../vision/image.ts";
import { packU8 } from "../vision/normalize.ts";
import { loadForModel } from "../vision/preprocess.node.ts";
import { type SftInputOptions, sftInputs, trainedTokens } from "./sft-inputs.ts";
import { sftLoss } from "./sft-step.ts";

export interface HeldOutLossOptions {
  readonly model: InternVLChat;
  readonly weights: ReadonlyMap<string, HostTensor>;
  readonly rows: readonly { readonly path?: string; readonly text: TrainingText }[];
  readonly runtime: Runtime;
  readonly batchSize: number;
  readonly maxTokens: number;
  readonly inputs: SftInputOptions;
  readonly signal?: AbortSignal;
}

/** The mean cross entropy of the answers' tokens in nats, of conversations that are not trained on. */
export async function heldOutLoss(options: HeldOutLossOptions): Promise<number> {
  const { model, rows, runtime, batchSize, maxTokens, signal } = options;
  const used = new Map([...parameters(model).keys()].map((key) => [key, options.weights.get(key)!]));
  const graph = emit(fuse({ loss: sftLoss(model, { batchSize, maxTokens }) }));
  using weights = await runtime.weights(used);
  await using session = await runtime.session(graph.bytes, { weights });
  let sum = 0;
  let tokens = 0;
  for (let at = 0; at < rows.length; at += batchSize) {
    signal?.throwIfAborted();
    const batch = rows.slice(at, at + batchSize);
    const texts = batch.map(({ text }) => text);
    const pictures = await Promise.all(batch.map(({ path }) => picture(path, model.imageSize)));
    while (texts.length < batchSize) {
      texts.push({ ids: [0], labels: [-1] });
      pictures.push(white(model.imageSize));
    }
    const inputs = sftInputs(texts, packU8(pictures), { ...options.inputs, reduction: "token" });
    const { loss } = await session.run(inputs, signal ? { signal } : {});
    const n = texts.reduce((total, text) => total + trainedTokens(text), 0);
    sum += Number(loss!.data[0]) * n;
    tokens += n;
  }
  return sum / tokens;
}

const picture = async (path: string | undefined, size: number): Promise<RgbImage> =>
  path === undefined ? white(size) : loadForModel(path, { size, framing: "squash", alpha: "drop" });

const white = (side: number): RgbImage => ({
  width: side,
  height: side,
  data: new Uint8Array(side * side * 3).fill(255),
});
