import { f32, hostTensor } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { input } from "../graph/tensor.ts";
import { emit } from "../onnx/emit.ts";
import { matmulInt8 } from "../ops/index.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Products that are summed: more than one instruction takes. */
const K = 64;

/**
 * Whether this machine multiplies int8 exactly. On x86 without VNNI the sum of two products of 8 bits saturates at 16
 * bits, silently. Throws a ConfigError where it does.
 */
export async function checkInt8Products(runtime: Runtime): Promise<void> {
  const x = input("x", "f32", [1, K]);
  const y = matmulInt8(x, input("codes", "i8", [K, 1]), input("scales", "f32", [1]));
  await using session = await runtime.session(emit({ y }).bytes, { threads: 1 });
  // The largest codes of both: the sum of each pair needs 17 bits.
  const result = await session.run({
    x: f32([1, K], new Float32Array(K).fill(1)),
    codes: hostTensor("i8", [K, 1], new Int8Array(K).fill(127)),
    scales: f32([1], [1 / 127]),
  });
  const found = Number(result.y!.data[0]);
  if (Math.abs(found - K) > 1e-3 * K)
    throw new ConfigError(
      `precision w8a8: expected 8-bit products to sum up to ${K}, found ${found}: this processor's saturate (no VNNI); use w8`,
    );
}
