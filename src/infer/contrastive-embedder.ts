import { i64 } from "../core/array.ts";
import { ConfigError, ShapeError } from "../core/errors.ts";
import { input } from "../graph/tensor.ts";
import type { InternVLC } from "../models/internvl_c.ts";
import { normalizePixels } from "../models/pixels.ts";
import { l2Normalize } from "../nn/losses.ts";
import { emit } from "../onnx/emit.ts";
import { fuse } from "../onnx/fuse.ts";
import type { Runtime, Session, WeightSet } from "../runtime/runtime.ts";
import { type ClipText, encodeForInternVLC } from "../text/clip-text.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { RgbImage } from "../vision/image.ts";
import { packU8 } from "../vision/normalize.ts";
import type { Embedder } from "./embedder.ts";

export interface ContrastiveEmbedderOptions {
  /** Name and fingerprint of the weights. */
  readonly id: string;
  /** exp(logit_scale) of the weights. */
  readonly scale: number;
  readonly model: InternVLC;
  readonly weights: WeightSet;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly threads?: number;
  /** Pictures per run; bounds the memory of activations. */
  readonly imageBatch?: number;
  readonly maxTextTokens?: number;
}

const IMAGE_BATCH = 16;
const TEXT_BATCH = 64;

/** InternVL-C as an Embedder: one session for pictures and one for texts over the same weights. */
export async function createContrastiveEmbedder(options: ContrastiveEmbedderOptions): Promise<Embedder> {
  const { model, runtime, weights, threads } = options;
  const S = model.imageSize;
  const sessionOptions = { weights, ...(threads && { threads }) };
  const images = input("images", "u8", ["B", S, S, 3]);
  const imageGraph = emit(fuse({ embeddings: l2Normalize(model.encodeImage(normalizePixels(images))) }));
  const text = model.encodeText(input("ids", "i64", ["B", "L"]), input("eos", "i64", ["B"]));
  const textGraph = emit(fuse({ embeddings: l2Normalize(text) }));
  const imageSession = await runtime.session(imageGraph.bytes, sessionOptions);
  try {
    const textSession = await runtime.session(textGraph.bytes, sessionOptions);
    return new ContrastiveEmbedder(options, imageSession, textSession);
  } catch (error) {
    // Weights cannot be released while a session holds them.
    await imageSession[Symbol.asyncDispose]();
    throw error;
  }
}

class ContrastiveEmbedder implements Embedder {
  readonly id: string;
  readonly dimension: number;
  readonly imageSize: number;
  readonly scale: number;

  constructor(
    readonly options: ContrastiveEmbedderOptions,
    readonly imageSession: Session,
    readonly textSession: Session,
  ) {
    this.id = options.id;
    this.scale = options.scale;
    this.dimension = options.model.cfg.clip_embed_dim;
    this.imageSize = options.model.imageSize;
  }

  async embedImages(images: readonly RgbImage[], options: { readonly signal?: AbortSignal } = {}) {
    const S = this.imageSize;
    for (const { width, height } of images)
      if (width !== S || height !== S)
        throw new ShapeError(`embedImages: pictures of ${S}×${S} are expected, found ${width}×${height}`);
    return this.#inBatches(images, this.options.imageBatch ?? IMAGE_BATCH, options, (batch) =>
      this.imageSession.run({ images: packU8(batch) }, options),
    );
  }

  async embedTexts(texts: readonly string[], options: { readonly signal?: AbortSignal } = {}) {
    return this.#inBatches(texts, TEXT_BATCH, options, (batch) => {
      const { ids, lengths } = this.#encode(batch);
      this.#checkIds(ids.data);
      const eos = i64(
        [batch.length],
        lengths.map((n) => n - 1),
      );
      return this.textSession.run({ ids, eos }, options);
    });
  }

  countTokens(texts: readonly string[]): readonly number[] {
    return texts.length === 0 ? [] : this.#encode(texts).lengths;
  }

  #encode(texts: readonly string[]): ClipText {
    const { tokenizer, maxTextTokens } = this.options;
    return encodeForInternVLC(tokenizer, texts, maxTextTokens ? { maxLength: maxTextTokens } : {});
  }

  /** Ids outside the embedding table would end inside the runtime, far from their cause. */
  #checkIds(ids: BigInt64Array): void {
    const { model, tokenizer } = this.options;
    const size = model.cfg.qllama_config.vocab_size;
    const outside = ids.find((id) => id < 0n || id >= size);
    if (outside !== undefined)
      throw new ConfigError(
        `embedTexts: the tokenizer of ${this.id} gives id ${outside}, the model's ids end at ${size - 1} (vocab_size ${size}; the tokenizer has ${tokenizer.vocabSize} pieces); put the tokenizer that belongs to the weights into their folder`,
      );
  }

  async #inBatches<T>(
    items: readonly T[],
    size: number,
    { signal }: { readonly signal?: AbortSignal },
    run: (batch: readonly T[]) => ReturnType<Session["run"]>,
  ): Promise<Float32Array[]> {
    const out: Float32Array[] = [];
    for (let i = 0; i < items.length; i += size) {
      signal?.throwIfAborted();
      const { embeddings } = await run(items.slice(i, i + size));
      const data = embeddings!.data as Float32Array;
      for (let at = 0; at < data.length; at += this.dimension) out.push(data.slice(at, at + this.dimension));
    }
    return out;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.imageSession[Symbol.asyncDispose]();
    await this.textSession[Symbol.asyncDispose]();
  }
}
