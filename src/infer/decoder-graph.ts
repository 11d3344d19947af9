import type { Device } from "../core/devices.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { embedPrompt } from "../models/embed-prompt.ts";
import { type CausalLanguageModel, overCache } from "../nn/decoder.ts";
import { emit } from "../onnx/emit.ts";
import { fuse } from "../onnx/fuse.ts";
import {
  add,
  cachedWidth,
  exp,
  expand,
  gather,
  log,
  max,
  reshape,
  sub,
  sum,
  takeAlong,
} from "../ops/index.ts";

/** Names of a layer's cache among the graph's inputs; its outputs have `new.` before them. */
export const cacheNames = (layer: number): readonly [keys: string, values: string] => [
  `cache.${layer}.keys`,
  `cache.${layer}.values`,
];

/**
 * One graph for prefill and decoding. Inputs: ids i64 [B, L]; tokens [R, D] and rows i64 [B, L], the image tokens and
 * their places (negative for text); last i32 [B], total i32 [] and angles cos and sin as cachedAttention takes them;
 * pick i64 [B, 1], the position of each row whose logits are wanted; and the cache. Outputs: logits [B, V], log_sums [B, 1],
 * log Σ exp of each row's logits, and the cache, which is extended in place where output and input are bound to one value.
 */
export function decoderGraph(language: CausalLanguageModel, device: Device = "cpu"): Uint8Array {
  const { num_hidden_layers, num_key_value_heads: G, hidden_size: D, rope } = language.shape;
  const d = rope.head_dim;
  const cache = Array.from({ length: num_hidden_layers }, (_, i) => {
    const [keys, values] = cacheNames(i).map((name) => input(name, "f32", ["B", G, "S", cachedWidth(d)]));
    return { keys: keys!, values: values! };
  });
  const context = overCache({
    cache,
    last: input("last", "i32", ["B"]),
    total: input("total", "i32", []),
    cos: input("cos", "f32", ["A", d / 2]),
    sin: input("sin", "f32", ["A", d / 2]),
  });
  const x = embedPrompt(
    language,
    input("ids", "i64", ["B", "L"]),
    input("tokens", "f32", ["R", D]),
    input("rows", "i64", ["B", "L"]),
  );
  const hidden = language.decode(x, context);
  const pick = expand(reshape(input("pick", "i64", ["B", 1]), ["B", 1, 1]), ["B", 1, D]);
  const picked = reshape(takeAlong(hidden, pick, { axis: 1 }), ["B", D]);
  const logits = language.logits(picked);
  const outputs: Record<string, Tensor> = { logits, log_sums: logSumExp(logits) };
  context.extended.forEach(({ keys, values }, i) => {
    const [k, v] = cacheNames(i);
    outputs[`new.${k}`] = keys;
    outputs[`new.${v}`] = values;
  });
  return emit(fuse(outputs), { device }).bytes;
}

/** [B, V] -> [B, 1]. ONNX's own operator takes seven times as long. */
function logSumExp(x: Tensor): Tensor {
  const largest = max(x, { axes: [-1], keepdims: true });
  return add(largest, log(sum(exp(sub(x, largest)), { axes: [-1], keepdims: true })));
}

/** Rows of a cache in another order or number: inputs parents i64 [P] and the cache, outputs the cache [P, G, S, d]. */
export function reorderGraph(language: CausalLanguageModel): Uint8Array {
  const { num_hidden_layers, num_key_value_heads: G, rope } = language.shape;
  const parents = input("parents", "i64", ["P"]);
  const outputs: Record<string, Tensor> = {};
  for (let i = 0; i < num_hidden_layers; i++)
    for (const name of cacheNames(i))
      outputs[`new.${name}`] = gather(input(name, "f32", ["B", G, "S", cachedWidth(rope.head_dim)]), parents);
  return emit(outputs).bytes;
}
