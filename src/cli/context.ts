import type { Environment } from "./paths.ts";
import { Progress } from "./progress.ts";
import type { Services } from "./services.ts";
import type { Terminal } from "./terminal.ts";

/** A stream that texts come from, and whether a person sits at it. */
export type Input = NodeJS.ReadableStream & { readonly isTTY?: boolean };

/** What a command gets from outside. Nothing else in `cli/` touches the process. */
export interface Context {
  /** Results. */
  readonly out: Terminal;
  /** Progress, notes, errors. */
  readonly err: Terminal;
  readonly input: Input;
  readonly env: Environment;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly services: Services;
  /** Exit code of a command that did its work and found something wrong; 0 until it says so. */
  exitCode: number;
}

/** Prints the one JSON value of a command that was given `--json`. */
export const printJson = (context: Context, value: unknown): Promise<void> =>
  context.out.write(`${JSON.stringify(value, null, 2)}\n`);

/** A remark on stderr. */
export const note = (context: Context, text: string): Promise<void> => context.err.write(`${text}\n`);

export const progressOf = (context: Context): Progress => new Progress(context.err);
