import { sizeOf } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { quantizationOf } from "./precision.ts";

/** What an InternVL-Chat takes, from the names and shapes of its tensors alone. */
export interface ChatMemory {
  readonly parameters: number;
  /** Bytes of the weights: "bf16" is the published file, the others what each precision makes of it. */
  readonly weightBytes: Readonly<Record<"bf16" | "f32" | "w8" | "w4", number>>;
}

/**
 * What quantisation may change: the matrices of linear layers and experts. Embeddings, norms, biases and the routers of
 * experts, which are small and decide, stay bf16, as they are stored.
 */
export function isQuantizable(key: string, shape: readonly number[]): boolean {
  if (/\.(embed_tokens|tok_embeddings|mlp\.gate|router)\.weight$/.test(key)) return false;
  return (shape.length === 2 && key.endsWith(".weight")) || EXPERTS.test(key);
}

/** GPT-OSS's experts, [E, in, out]: as its files have them, not transposed. */
const EXPERTS = /\.experts\.(gate_up|down)_proj$/;

/**
 * The memory of a model's weights. `tensors`: names and shapes, as in the file or as `parameters` of the module tree
 * gives them. `quantized` says of a matrix whether it is quantised in "w8" and "w4"; default all that are
 * {@link isQuantizable}. Without what a runtime adds, such as packed copies.
 */
export function chatMemory(
  tensors: Iterable<readonly [key: string, shape: readonly number[]]>,
  quantized: (key: string, shape: readonly number[]) => boolean = isQuantizable,
): ChatMemory {
  let parameters = 0;
  let w8 = 0;
  let w4 = 0;
  for (const [key, shape] of tensors) {
    const size = sizeOf(shape);
    parameters += size;
    const blocked = isQuantizable(key, shape) && quantized(key, shape);
    w8 += blocked ? blockBytes(key, shape, "w8") : 2 * size;
    w4 += blocked ? blockBytes(key, shape, "w4") : 2 * size;
  }
  return { parameters, weightBytes: { bf16: 2 * parameters, f32: 4 * parameters, w8, w4 } };
}

/** Codes and f32 scales of blocks along the inputs, the last block padded. */
function blockBytes(key: string, shape: readonly number[], precision: "w8" | "w4"): number {
  const { bits, blockSize } = quantizationOf(key.replace(/\.weight$/, ""), precision);
  const inputs = shape[EXPERTS.test(key) ? shape.length - 2 : shape.length - 1]!;
  const blocks = Math.ceil(inputs / blockSize) * (sizeOf(shape) / inputs);
  return blocks * ((blockSize * bits) / 8 + 4);
}

/** What the key-value cache's size depends on: fields of any of the language models' configurations. */
export interface CacheShape {
  readonly num_hidden_layers: number;
  readonly num_key_value_heads: number;
  readonly num_attention_heads: number;
  readonly hidden_size: number;
  readonly head_dim?: number;
}

/** Bytes of the key-value cache in f32 for so many tokens of one conversation: a key and a value in every layer. */
export function cacheBytes(llm: CacheShape, tokens: number): number {
  const headWidth = llm.head_dim ?? llm.hidden_size / llm.num_attention_heads;
  return tokens * 2 * llm.num_hidden_layers * llm.num_key_value_heads * headWidth * 4;
}

/**
 * Tokens that a tile takes in the language model: patches, joined by the pixel shuffle. `ratio` is downsample_ratio.
 * Throws a ConfigError when the patches do not come out even.
 */
export function tokensPerTile(imageSize: number, patchSize: number, ratio: number): number {
  const side = Math.floor(imageSize / patchSize) * ratio;
  if (!Number.isInteger(side) || side < 1)
    throw new ConfigError(
      `tokensPerTile: ${imageSize} pixels in patches of ${patchSize} are no whole number of tokens at downsample_ratio ${ratio}; check the configuration`,
    );
  return side * side;
}
