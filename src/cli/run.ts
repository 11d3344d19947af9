import { Command, CommanderError } from "commander";
import { isUserError } from "../core/errors.ts";
import type { Context } from "./context.ts";
import { addCommands } from "./program.ts";
import { style } from "./terminal.ts";

/** Exit codes beside 0; a negative result (parity out of tolerance) is 1. */
export const EXIT = { userError: 2, defect: 70, interrupted: 130, terminated: 143 } as const;

/** Why a run was cancelled: the reason of `Context.signal`. */
export class Interrupted extends Error {
  constructor(readonly signal: "SIGINT" | "SIGTERM") {
    super(`interrupted by ${signal}`);
    this.name = "Interrupted";
  }
}

/**
 * Runs one command line (without node and script) to its exit code. Users' mistakes print one message, defects
 * their stack; nothing is thrown.
 */
export async function run(args: readonly string[], context: Context): Promise<number> {
  const program = new Command("internvl");
  addCommands(program, context);
  try {
    await program.parseAsync([...args], { from: "user" });
    return context.exitCode;
  } catch (error) {
    return await explain(error, context);
  }
}

async function explain(error: unknown, context: Context): Promise<number> {
  // Commander has printed its own message or the help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.userError;
  const debug = context.env.INTERNVL_DEBUG ? `\n${stackOf(error)}` : "";
  const print = (message: string) =>
    context.err.write(`${style(context.err, "red", "error:")} ${message}${debug}\n`);
  if (context.signal.aborted) {
    await context.err.write(`interrupted${debug}\n`);
    const { reason } = context.signal;
    return reason instanceof Interrupted && reason.signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  }
  if (isUserError(error)) {
    await print(error.message);
    return EXIT.userError;
  }
  const problem = systemProblem(error);
  if (problem) {
    await print(problem);
    return EXIT.userError;
  }
  await context.err.write(`${stackOf(error)}\n`);
  return EXIT.defect;
}

const stackOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const stack = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? stack : `${stack}\ncaused by ${stackOf(error.cause)}`;
};

const SYSTEM_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder; check the path",
  EACCES: "you may not read or write this; check its permissions",
  EPERM: "you may not read or write this; check its permissions",
  EEXIST: "there is something of this name already; choose another name, or move it away",
  EISDIR: "this is a folder, a file was expected",
  ENOTDIR: "a part of this path is not a folder",
  ENOSPC: "the disk is full; make room and run the same command again",
  EROFS: "this disk can only be read; choose another folder",
};

/** What the operating system refused, when that is the user's to mend; undefined otherwise. */
function systemProblem(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, path } = error as NodeJS.ErrnoException;
  const text = code && SYSTEM_PROBLEMS[code];
  if (text && path) return `${path}: ${text}`;
  // What a file that is open already could not write has no path.
  return code === "ENOSPC" ? text : undefined;
}
