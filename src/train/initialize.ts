import { f32, type HostTensor, sizeOf, zeros } from "../core/array.ts";
import type { Rng } from "../core/rng.ts";
import type { Param } from "../graph/tensor.ts";

/** Random weights for a training run from scratch: each key draws from its own fork of the generator. */
export function initialize(params: ReadonlyMap<string, Param>, rng: Rng): Map<string, HostTensor> {
  return new Map([...params].map(([key, param]) => [key, draw(param, rng.fork(key))]));
}

function draw({ shape, init }: Param, rng: Rng): HostTensor {
  switch (init.kind) {
    case "zeros":
      return zeros("f32", shape);
    case "constant":
      return f32(shape, new Float32Array(sizeOf(shape)).fill(init.value));
    case "trunc_normal":
      return f32(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => init.std * truncatedNormal(rng)),
      );
  }
}

/** Standard normal without what lies beyond two deviations. */
function truncatedNormal(rng: Rng): number {
  for (;;) {
    const x = rng.normal();
    if (Math.abs(x) <= 2) return x;
  }
}
