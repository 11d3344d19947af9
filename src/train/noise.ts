import { f32, type HostTensor, hostTensor } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";

/** For each of `batch` pictures, `kept` of `patches` indices in ascending order, drawn without replacement: i64 [B, K]. */
export function drawKeptPatches(rng: Rng, batch: number, patches: number, kept: number): HostTensor<"i64"> {
  const all = new BigInt64Array(batch * kept);
  for (let b = 0; b < batch; b++) {
    const order = Uint32Array.from({ length: patches }, (_, i) => i);
    for (let i = 0; i < kept; i++) {
      const j = i + rng.int(patches - i);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    all.set(BigInt64Array.from(order.subarray(0, kept).sort(), BigInt), b * kept);
  }
  return hostTensor("i64", [batch, kept], all);
}

/** Stochastic depth for each branch and sample: 0 with probability `rate` (below 1), else 1/(1 − rate): f32 [branches, B, 1, 1]. */
export function drawDropPath(rng: Rng, branches: number, batch: number, rate: number): HostTensor<"f32"> {
  const keep = 1 / (1 - rate);
  return f32(
    [branches, batch, 1, 1],
    Float32Array.from({ length: branches * batch }, () => (rng.uniform() < rate ? 0 : keep)),
  );
}
