import { scalar, type Tensor } from "../graph/tensor.ts";
import type { CausalLanguageModel } from "../nn/decoder.ts";
import { dims, gather, less, reshape, where } from "../ops/index.ts";

/**
 * Embeddings of a prompt with image tokens in their places: ids i64 [B, L], tokens [R, D] and rows i64 [B, L], which
 * names the image token of a place, or is negative for text -> [B, L, D].
 */
export function embedPrompt(
  language: CausalLanguageModel,
  ids: Tensor,
  tokens: Tensor,
  rows: Tensor,
): Tensor {
  const { B, L } = dims(ids, "B L");
  const isText = reshape(less(rows, scalar(0, "i64")), [B, L, 1]);
  // A negative index counts from the end: it gathers some row, which `where` leaves out.
  return where(isText, language.embed(ids), gather(tokens, rows));
}
