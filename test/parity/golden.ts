import { fileURLToPath } from "node:url";
import type { HostTensor } from "../../src/core/array.ts";
import { openSafetensors } from "../../src/weights/safetensors.node.ts";

/** Reads all tensors of `golden/<name>.safetensors`; a missing file fails. */
export async function readGolden(name: string): Promise<Map<string, HostTensor>> {
  const file = await openSafetensors(fileURLToPath(new URL(`./golden/${name}.safetensors`, import.meta.url)));
  const tensors = new Map<string, HostTensor>();
  for (const [key, source] of file.tensors) tensors.set(key, await file.read(source));
  return tensors;
}

/** The tensors whose names begin with the prefix, without it. */
export const under = (tensors: ReadonlyMap<string, HostTensor>, prefix: string): Map<string, HostTensor> =>
  new Map(
    [...tensors].flatMap(([key, t]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), t]] : [])),
  );
