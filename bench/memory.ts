import { readFileSync } from "node:fs";
import { type About, type BenchResult, summarize } from "./pair.ts";

/** Memory of a process in MiB, as Linux counts it. */
export interface Memory {
  /** Most that was resident, mapped files included (VmHWM). */
  readonly peak: number;
  /** Resident now and its own: what is neither a file's nor shared (RssAnon). */
  readonly own: number;
}

/** Memory of a process that is running; undefined where the system has no /proc. */
export function memoryOf(pid: number): Memory | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return undefined;
  }
  return parseStatus(status);
}

/** What is read of /proc/PID/status; undefined for a process that has ended. */
export function parseStatus(status: string): Memory | undefined {
  const [peak, own] = ["VmHWM", "RssAnon"].map(
    (name) => new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1],
  );
  return peak === undefined || own === undefined
    ? undefined
    : { peak: Number(peak) / 1024, own: Number(own) / 1024 };
}

/** Looks at a process until it is disposed of; `own` is then the most that was seen, to 50 ms. */
export class MemoryWatch implements Disposable {
  #own = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(readonly pid: number) {
    this.#timer = setInterval(() => this.#look(), 50);
  }

  #look(): Memory | undefined {
    const now = memoryOf(this.pid);
    this.#own = Math.max(this.#own, now?.own ?? 0);
    return now;
  }

  /** So far; undefined where the system does not tell. */
  get most(): Memory | undefined {
    const now = this.#look();
    return now && { peak: now.peak, own: this.#own };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The peaks of both sides as results; none where the system does not tell. */
export function summarizeMemory(
  name: string,
  ours: MemoryWatch,
  peer: MemoryWatch,
  about: About,
): BenchResult[] {
  const [own, theirs] = [ours.most, peer.most];
  if (!own || !theirs) return [];
  return [
    summarize(`${name}/peak-memory`, "MiB", [{ ours: own.peak, peer: theirs.peak }], about),
    summarize(`${name}/peak-own-memory`, "MiB", [{ ours: own.own, peer: theirs.own }], about),
  ];
}
