import { castFloat, type HostTensor } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { CheckpointError } from "../core/errors.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";
import { loadSource } from "./checkpoint.ts";

/** Float dtypes that {@link castSource} produces. */
export type CastDType = "f32" | "f16" | "bf16";

/** Whether a tensor of dtype `from` can be had as `to` (itself included). */
export const canCast = (from: DType, to: DType): boolean =>
  from === to || (CASTABLE.has(from) && CASTABLE.has(to) && to !== "f64");

const CASTABLE = new Set<DType>(["f64", "f32", "f16", "bf16"]);

/**
 * `source` in another float dtype, cast when it is loaded and not before: a whole checkpoint can be cast while only
 * one tensor is in memory. Rounds to nearest even; values beyond f16's range become infinite. Throws a CheckpointError
 * for dtypes that are no floats or are storage only (f8).
 */
export function castSource(
  source: TensorSource,
  dtype: CastDType,
  read: (source: FileTensor) => Promise<HostTensor>,
): TensorSource {
  if (source.dtype === dtype) return source;
  if (!canCast(source.dtype, dtype))
    throw new CheckpointError(
      `castSource: ${source.dtype} cannot be cast to ${dtype}, only f64, f32, f16 and bf16 can`,
    );
  return { dtype, shape: source.shape, load: async () => castFloat(await loadSource(source, read), dtype) };
}
