import type { HostTensor } from "../core/array.ts";
import type { FileTensor, TensorSource } from "../runtime/runtime.ts";

/**
 * An open checkpoint: the names, shapes and places of its tensors. Data stays in the file; tensors that the file does
 * not hold row-major (strided ones of torch) are lazy.
 */
export interface Checkpoint {
  /** What messages call it: the path it was opened from. */
  readonly name: string;
  /** Keys in the order of the file. */
  readonly keys: readonly string[];
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** Free text that the file carries beside its tensors; empty where the format has none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The data of one of `tensors`, or of a tensor that was made from them (lazy or in memory). Throws a CheckpointError when the file has become shorter. */
  read(source: TensorSource): Promise<HostTensor>;
}

/** How the names of files that hold weights end. */
export const WEIGHTS_ENDING = /\.(gguf|safetensors|pth|pt|bin)$/;

export const isFileTensor = (source: TensorSource): source is FileTensor => "file" in source;

/** The data of any source; `read` fetches the ones that are in files. */
export async function loadSource(
  source: TensorSource,
  read: (source: FileTensor) => Promise<HostTensor>,
): Promise<HostTensor> {
  if (isFileTensor(source)) return read(source);
  return "load" in source ? source.load() : source;
}

/** "a, b, c and 12 more": enough of a long list to recognise it. */
export function firstOf(items: readonly string[], shown = 3): string {
  const head = items.slice(0, shown).join(", ");
  return items.length > shown ? `${head} and ${items.length - shown} more` : head;
}

/** The product of non-negative integers, or undefined where it leaves the exact range of a number. */
export function checkedProduct(factors: readonly number[]): number | undefined {
  let product = 1;
  for (const f of factors) {
    if (!Number.isSafeInteger(f) || f < 0) return undefined;
    product *= f;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product;
}
