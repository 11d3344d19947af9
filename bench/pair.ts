import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { UsageError } from "../src/core/errors.ts";
import type { Runtime } from "../src/runtime/runtime.ts";

/** What a benchmark is given. */
export interface BenchContext {
  readonly runtime: Runtime;
  /** The Python that has the peers installed. */
  readonly python: string;
  readonly threads: number;
  readonly rounds: number;
  readonly versions: string;
}

/** Of units that count what is done, more is better; of all others less. */
export type Unit = "s" | "MiB" | "perplexity" | "tokens/s" | "share";

const MORE_IS_BETTER: ReadonlySet<Unit> = new Set(["tokens/s", "share"]);

/** What a benchmark prints, one JSON object a line. */
export interface BenchResult {
  readonly name: string;
  /** Medians in `unit`. */
  readonly ours: number;
  /** Absent, with the ratio, where nothing is compared with. */
  readonly peer?: number;
  /** How many times better ours is, median of the pairs: above 1, ours is faster or smaller. */
  readonly ratio?: number;
  /** Smallest and largest ratio of a pair. */
  readonly spread?: readonly [number, number];
  readonly unit: Unit;
  readonly machine: string;
  readonly versions: string;
  readonly note?: string;
}

/** What is known of a result before it is measured. */
export interface About {
  readonly versions: string;
  readonly note?: string;
}

/** One side of a pair, waiting for its turn in a child process. */
export class Peer implements AsyncDisposable {
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  private constructor(
    readonly process: ChildProcess,
    /** How it can be had, for who lacks it. */
    readonly help: string,
  ) {
    this.#lines = createInterface({ input: process.stdout! });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Starts a Python script of bench/peers and waits until it has warmed up. */
  static start(python: string, script: string, args: unknown): Promise<Started> {
    return Peer.#start(python, [path(`peers/${script}`)], args, PYTHON_HELP(python));
  }

  /** Starts a TypeScript file of bench/ and waits until it is ready. */
  static startNode(script: string, args: unknown, help = "see its message above"): Promise<Started> {
    return Peer.#start(process.execPath, ["--import", TSX, path(script)], args, help);
  }

  static async #start(
    program: string,
    args: readonly string[],
    given: unknown,
    help: string,
  ): Promise<Started> {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    child.on("error", () => {});
    child.stdin.on("error", () => {}); // one that did not start is told below
    child.stdin.write(`${JSON.stringify(given)}\n`);
    const peer = new Peer(child, help);
    const ready = await peer.#answer();
    return { peer, ready, version: String(ready.version) };
  }

  async #answer(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#answers.next();
    if (done)
      throw new UsageError(`bench: ${this.process.spawnargs.at(-1)} did not start or ended: ${this.help}`);
    return JSON.parse(value) as Record<string, unknown>;
  }

  /** One run of what it was started for; its seconds. */
  async run(): Promise<number> {
    return (await this.ask<{ seconds: number }>("run")).seconds;
  }

  /** What it answers to a request. */
  async ask<T>(request: unknown): Promise<T> {
    this.process.stdin!.write(`${JSON.stringify(request)}\n`);
    return (await this.#answer()) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.process, "exit");
    this.process.stdin!.end();
    if (this.process.exitCode === null) await closed;
    this.#lines.close();
  }
}

interface Started {
  readonly peer: Peer;
  /** What it said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly version: string;
}

const TSX = import.meta.resolve("tsx");

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const PYTHON_HELP = (python: string): string =>
  `${python} needs what "pip install -r bench/peers/requirements.txt" installs; name the Python with PEER_PYTHON`;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

const round = (v: number): number => Number(v.toPrecision(4));

/** Medians and ratios of measurements that were taken in pairs. */
export function summarize(
  name: string,
  unit: Unit,
  pairs: readonly { readonly ours: number; readonly peer: number }[],
  about: About,
): BenchResult {
  const ratios = pairs.map(({ ours, peer }) => (MORE_IS_BETTER.has(unit) ? ours / peer : peer / ours));
  return {
    name,
    ours: round(median(pairs.map((t) => t.ours))),
    peer: round(median(pairs.map((t) => t.peer))),
    ratio: round(median(ratios)),
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    unit,
    machine: MACHINE,
    ...about,
  };
}

/** A measurement that is compared with nothing. */
export const alone = (name: string, unit: Unit, ours: number, about: About): BenchResult => ({
  name,
  ours: round(ours),
  unit,
  machine: MACHINE,
  ...about,
});

const MACHINE = `${cpus().length} × ${cpus()[0]!.model.trim()}`;

/** Runs ours and the peer in turn: the machine's drift hits both. The result is in seconds. */
export async function pair(
  name: string,
  ours: () => Promise<unknown>,
  peer: Peer,
  rounds: number,
  about: About,
): Promise<BenchResult> {
  await ours();
  await ours();
  const times: { ours: number; peer: number }[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await ours();
    const seconds = (performance.now() - start) / 1000;
    times.push({ ours: seconds, peer: await peer.run() });
  }
  return summarize(name, "s", times, about);
}
