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

/** What a benchmark prints, one JSON object a line. */
export interface BenchResult {
  readonly name: string;
  /** Medians in `unit`. */
  readonly ours: number;
  readonly peer: number;
  /** Peer over ours, median of the pairs: above 1, ours is faster. */
  readonly ratio: number;
  /** Smallest and largest ratio of a pair. */
  readonly spread: readonly [number, number];
  readonly unit: "s";
  readonly machine: string;
  readonly versions: string;
  readonly note?: string;
}

/** The other program, waiting for its turn in a child process. */
export class Peer implements AsyncDisposable {
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  private constructor(readonly process: ChildProcess) {
    this.#lines = createInterface({ input: process.stdout! });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Starts a script of bench/peers and waits until it has warmed up. */
  static async start(
    python: string,
    script: string,
    args: unknown,
  ): Promise<{ peer: Peer; version: string }> {
    const path = fileURLToPath(new URL(`./peers/${script}`, import.meta.url));
    const child = spawn(python, [path], { stdio: ["pipe", "pipe", "inherit"] });
    child.on("error", () => {});
    child.stdin.on("error", () => {}); // a peer that did not start is told below
    child.stdin.write(`${JSON.stringify(args)}\n`);
    const peer = new Peer(child);
    const ready = await peer.#answer(python);
    return { peer, version: ready.version as string };
  }

  async #answer(python: string): Promise<Record<string, unknown>> {
    const { value, done } = await this.#answers.next();
    if (done)
      throw new UsageError(
        `bench: the peer did not start (${python}); install it with "pip install -r bench/peers/requirements.txt" and name its Python with PEER_PYTHON`,
      );
    return JSON.parse(value) as Record<string, unknown>;
  }

  /** One run; its seconds. */
  async run(): Promise<number> {
    this.process.stdin!.write("run\n");
    return (await this.#answer("python")).seconds as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.process, "exit");
    this.process.stdin!.end();
    await closed;
    this.#lines.close();
  }
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

const round = (v: number): number => Number(v.toPrecision(4));

/** Runs ours and the peer in turn and gives medians and ratios pair by pair: the machine's drift hits both. */
export async function pair(
  name: string,
  ours: () => Promise<unknown>,
  peer: Peer,
  rounds: number,
  about: { readonly versions: string; readonly note?: string },
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
  const ratios = times.map((t) => t.peer / t.ours);
  return {
    name,
    ours: round(median(times.map((t) => t.ours))),
    peer: round(median(times.map((t) => t.peer))),
    ratio: round(median(ratios)),
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    unit: "s",
    machine: `${cpus().length} × ${cpus()[0]!.model.trim()}`,
    ...about,
  };
}
