import { f32 } from "../core/array.ts";
import { Rng } from "../core/rng.ts";
import { input } from "../graph/tensor.ts";
import { emit } from "../onnx/emit.ts";
import { multiHeadAttention } from "../ops/fused.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Rows beyond which WebGPU has another kernel, and a head of the usual width. */
const [ROWS, WIDTH] = [40, 32];

/** Rows for which every kernel that was met is right. */
export const FEW_ROWS = 24;

/**
 * Whether the fused attention is right for more than {@link FEW_ROWS} rows at once. On WebGPU they go to a kernel that reads
 * its neighbours' registers, which is wrong where a GPU has few of them side by side: on SwiftShader by tens of percent.
 */
export async function attendsManyRows(runtime: Runtime): Promise<boolean> {
  if (runtime.device === "cpu") return true;
  const shape = [1, ROWS, WIDTH];
  const [q, k, v] = ["q", "k", "v"].map((name) => {
    const rng = new Rng(`attention/${name}`);
    return f32(
      shape,
      Float32Array.from({ length: ROWS * WIDTH }, () => rng.normal()),
    );
  }) as [ReturnType<typeof f32>, ReturnType<typeof f32>, ReturnType<typeof f32>];
  const scale = WIDTH ** -0.5;
  const y = multiHeadAttention(input("q", "f32", shape), input("k", "f32", shape), input("v", "f32", shape), {
    heads: 1,
    scale,
  });
  await using session = await runtime.session(emit({ y }).bytes);
  const found = (await session.run({ q, k, v })).y!.data as Float32Array;
  return attention(q.data, k.data, v.data, scale).every((x, i) => Math.abs(x - found[i]!) < 1e-2);
}

/** softmax(q kᵀ · scale) v of one head, all [ROWS, WIDTH]. */
function attention(q: Float32Array, k: Float32Array, v: Float32Array, scale: number): Float32Array {
  const y = new Float32Array(q.length);
  for (let i = 0; i < ROWS; i++) {
    const row = q.subarray(i * WIDTH, (i + 1) * WIDTH);
    const weights = Array.from({ length: ROWS }, (_, j) =>
      Math.exp(scale * row.reduce((sum, x, d) => sum + x * k[j * WIDTH + d]!, 0)),
    );
    const total = weights.reduce((sum, w) => sum + w, 0);
    for (const [j, w] of weights.entries())
      for (let d = 0; d < WIDTH; d++) y[i * WIDTH + d]! += (w / total) * v[j * WIDTH + d]!;
  }
  return y;
}
