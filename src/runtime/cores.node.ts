import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/**
 * How many threads an operator gets by default: physical cores, because two threads of one core share its vector
 * units; never more than the process may use. Where the topology cannot be read, every processor counts as a core.
 */
export function defaultThreads(): number {
  const available = availableParallelism();
  const cores = new Set<string>();
  try {
    for (const cpu of parseCpuList(readFileSync("/sys/devices/system/cpu/online", "utf8")))
      cores.add(
        readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, "utf8").trim(),
      );
  } catch {
    return available; // no Linux, or a container that hides it
  }
  return Math.max(1, Math.min(available, cores.size || available));
}

/** "0-3,8" -> [0, 1, 2, 3, 8]. */
export function parseCpuList(list: string): number[] {
  return list
    .trim()
    .split(",")
    .filter(Boolean)
    .flatMap((range) => {
      const [first, last = first] = range.split("-").map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
    });
}
