import { CheckpointError } from "../core/errors.ts";
import { firstOf } from "./checkpoint.ts";
import type { GgufTensor } from "./gguf.ts";
import type { KeyMap } from "./key-map.ts";

/** The parts of each tensor under its published name, in order; tensors that the map drops are left out. */
export type NamedParts = ReadonlyMap<string, readonly GgufTensor[]>;

/**
 * Sorts the tensors of a file under the names that `keys` gives them. Throws one CheckpointError with the names that
 * no rule knows and the tensors that lack parts.
 */
export function underPublishedNames(
  name: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  keys: KeyMap,
): NamedParts {
  const unknown: string[] = [];
  const found = new Map<string, (GgufTensor | undefined)[]>();
  for (const [fileKey, tensor] of tensors) {
    const to = keys.map(fileKey);
    if (to === undefined) unknown.push(fileKey);
    if (to === undefined || "dropped" in to) continue;
    const { index, count } = to.part ?? { index: 0, count: 1 };
    const parts = found.get(to.key) ?? Array.from({ length: count }, () => undefined);
    parts[index] = tensor;
    found.set(to.key, parts);
  }
  const problems: string[] = [];
  if (unknown.length > 0) problems.push(`${unknown.length} tensors are unknown (${firstOf(unknown)})`);
  const out = new Map<string, GgufTensor[]>();
  for (const [key, parts] of found) {
    const whole = parts.filter((p) => p !== undefined);
    if (whole.length === parts.length) out.set(key, whole);
    else problems.push(`${keys.unmap(key)!.keys.join(", ")} must be there together`);
  }
  if (problems.length > 0)
    throw new CheckpointError(`${name}: it is no model of a known structure: ${firstOf(problems, 5)}`);
  return out;
}
