import { f32, hostTensor } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { input } from "../graph/tensor.ts";
import { type Module, modules } from "../nn/module.ts";
import { Int8Linear } from "../nn/quantized.ts";
import { emit } from "../onnx/emit.ts";
import { matmulInt8 } from "../ops/index.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Rows, products that are summed and outputs: more than one instruction takes, and no special case of the kernels. */
const [M, K, N] = [4, 64, 64];

/** {@link checkInt8Products}, where a model has layers that need them. */
export async function checkInt8Layers(runtime: Runtime, root: Module): Promise<void> {
  if ([...modules(root)].some(([, module]) => module instanceof Int8Linear)) await checkInt8Products(runtime);
}

/**
 * Whether this machine multiplies int8 exactly. On x86 without VNNI the sum of two products of 8 bits saturates at 16
 * bits, silently. Throws a ConfigError where it does.
 */
export async function checkInt8Products(runtime: Runtime): Promise<void> {
  const x = input("x", "f32", [M, K]);
  const y = matmulInt8(x, input("codes", "i8", [K, N]), input("scales", "f32", [N]));
  await using session = await runtime.session(emit({ y }).bytes, { threads: 1 });
  // The largest codes of both: the sum of each pair needs 17 bits.
  const result = await session.run({
    x: f32([M, K], new Float32Array(M * K).fill(1)),
    codes: hostTensor("i8", [K, N], new Int8Array(K * N).fill(127)),
    scales: f32([N], new Float32Array(N).fill(1 / 127)),
  });
  const found = Math.min(...(result.y!.data as Float32Array));
  if (!(Math.abs(found - K) <= 1e-3 * K))
    throw new ConfigError(
      `precision w8a8: expected 8-bit products to sum up to ${K}, found ${found}: this processor's saturate (no VNNI); use w8`,
    );
}
