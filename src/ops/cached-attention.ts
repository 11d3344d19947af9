import { hostTensor } from "../core/array.ts";
import { ShapeError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { defineOp, type Op, sameAs } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";

interface CachedAttentionAttrs {
  readonly heads: number;
  /** Heads of keys and values; each serves heads / groups query heads in a row. */
  readonly groups: number;
  readonly scale: number;
  /** How many positions each one sees, itself included; all that come before where it is left out. */
  readonly window?: number;
  /** q and k are rotated already: cos and sin are not read. */
  readonly isRotated?: boolean;
  /** q, k and v are one input, side by side [B, L, (H + 2G)·d]: what a product of all three gives (onnx/fuse.ts). */
  readonly isPacked?: boolean;
}

/** The kernel rotates heads of a multiple of so many channels only. */
export const ROTATED_WIDTH = 16;

/** Channels that a head of so many takes in a cache: the kernel wants a multiple of 8, the rest are zeros. */
export const cachedWidth = (width: number): number => Math.ceil(width / 8) * 8;

/** The inputs by name. */
function named<T>(x: readonly T[], isPacked: boolean) {
  const [q, k, v, keys, values, last, total, cos, sin, sinks] = isPacked
    ? [x[0], undefined, undefined, ...x.slice(1)]
    : x;
  return { q, k, v, keys, values, last, total, cos, sin, sinks };
}

/**
 * Causal attention of new positions over a cache of keys and values that it extends: q [B, L, H·d], k and v [B, L, G·d],
 * the cache's keys and values [B, G, S, d] of capacity S, last i32 [B] (index of each row's last position once the new
 * ones are in), total i32 [] (the largest of last, plus one), cos and sin [S', d/2] for the positions from 0 on, and
 * optionally sinks [H], a logit of each head that takes weight and gives no value. Outputs y [B, L, H·d] and the cache.
 * q and k are rotated by halves here, which wants a width d that {@link ROTATED_WIDTH} divides. Bound to the same value as its input, the cache is extended in place. With L > 1
 * and positions in the cache, B must be 1; rows shorter than others are right-padded and their padding means nothing.
 */
export const cachedAttention: Op<readonly Tensor[], CachedAttentionAttrs> = defineOp({
  name: "cached_attention",
  infer(x, { heads, groups, isRotated = false, isPacked = false }) {
    const { q, k, v, keys, values, cos, sin, sinks } = named(x, isPacked);
    const width = Number(q?.shape[2]) / (isPacked ? heads + 2 * groups : heads);
    const [B, L] = [q?.shape[0] ?? 0, q?.shape[1] ?? 0];
    const fits =
      (isPacked || [k, v].every((t) => t !== undefined && sameShape(t.shape, [B, L, groups * width]))) &&
      keys?.rank === 4 &&
      sameShape(keys.shape, values!.shape) &&
      keys.shape[1] === groups &&
      keys.shape[3] === width &&
      (isRotated || [cos, sin].every((t) => t?.rank === 2 && t.shape[1] === width / 2)) &&
      (sinks === undefined || sameShape(sinks.shape, [heads]));
    if (!fits || heads % groups !== 0)
      throw new ShapeError(
        `cached_attention: ${[q, k, v].filter(Boolean).join(", ")}, cache ${keys} and angles ${cos} do not fit ${heads} heads in ${groups} groups`,
      );
    return [{ dtype: q!.dtype, shape: [B, L, heads * width] }, sameAs(keys!), sameAs(values!)];
  },
  vjp: { notDifferentiable: "a cache is for generating" },
  lower(g, x, { heads, groups, scale, window, isRotated = false, isPacked = false }) {
    const { q, k = "", v = "", keys, values, last, total, cos, sin, sinks } = named(x, isPacked);
    const angles = isRotated ? ["", ""] : [cos!, sin!];
    return g.nodes(
      3,
      "GroupQueryAttention",
      [q!, k, v, keys!, values!, last!, total!, ...angles, ...(sinks ? ["", "", sinks] : [])],
      {
        num_heads: heads,
        kv_num_heads: groups,
        scale: { float: scale },
        do_rotary: isRotated ? 0 : 1,
        local_window_size: window ?? -1,
      },
      "com.microsoft",
    );
  },
  cases(rng) {
    const [groups, times, half] = [1 + rng.int(2), 1 + rng.int(2), 8];
    const [heads, d, S] = [groups * times, 2 * half, 9];
    const step = (B: number, L: number, last: readonly number[]) => [
      [B, L, heads * d],
      [B, L, groups * d],
      [B, L, groups * d],
      [B, groups, S, d],
      [B, groups, S, d],
      hostTensor("i32", [B], Int32Array.from(last)),
      hostTensor("i32", [], Int32Array.of(1 + Math.max(...last))),
      [S, half],
      [S, half],
    ];
    const attrs = { heads, groups, scale: 0.7 };
    const packed = (B: number, L: number, last: readonly number[]) => [
      [B, L, (heads + 2 * groups) * d],
      ...step(B, L, last).slice(3),
    ];
    return [
      { x: packed(1, 3, [6]), attrs: { ...attrs, isPacked: true } },
      { x: [...packed(2, 1, [2, 7]), [heads]], attrs: { ...attrs, isPacked: true } },
      { x: step(1, 4, [3]), attrs },
      { x: step(1, 3, [6]), attrs },
      { x: step(2, 1, [2, 7]), attrs },
      { x: step(2, 1, [2, 7]), attrs: { ...attrs, window: 3 } },
      { x: [...step(1, 4, [3]), [heads]], attrs: { ...attrs, window: 2 } },
      { x: [...step(2, 1, [5, 4]), [heads]], attrs },
      { x: step(1, 3, [6]), attrs: { ...attrs, isRotated: true } },
    ];
  },
});
