import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FAKE = fileURLToPath(new URL("./cli-fake.ts", import.meta.url));
const REAL = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const TSX = import.meta.resolve("tsx");

const PROGRESS = /^[a-z ]+ [\d,.]+( [kMGT]?B)?(\/[\d,.]+( [kMGT]?B)?)?( s)?( {2}.*)?\n/gm;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Without progress lines: whether there are any depends on how busy the machine is. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The program as users get it, instead of the one over stand-ins. */
  readonly real?: boolean;
  /** What is piped in; default: nothing can be read. */
  readonly input?: string | Uint8Array;
}

/** Starts the command line as a process. */
export function startCli(args: readonly string[], options: RunOptions = {}): ChildProcess {
  const child = spawn(process.execPath, ["--import", TSX, options.real ? REAL : FAKE, ...args], {
    cwd: options.cwd ?? ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  // A process that ends before it has read everything is what some tests are about.
  child.stdin?.on("error", () => {}).end(options.input);
  return child;
}

/** Collects what a process prints until it ends. */
export function ended(child: ChildProcess): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr: stderr.replaceAll(PROGRESS, "") }));
  });
}

/** Runs the command line as a process to its end. */
export const cli = (args: readonly string[], options?: RunOptions): Promise<Ended> =>
  ended(startCli(args, options));
