import type { WriteStream } from "node:tty";
import type { Context } from "./context.ts";
import type { Environment } from "./paths.ts";
import { EXIT, Interrupted, run } from "./run.ts";
import type { Services } from "./services.ts";
import type { Terminal } from "./terminal.ts";

/** Runs this process's command line over the given libraries and ends the process with its exit code. */
export async function runProcess(services: Services): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", onWriteError);
  const cancel = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      // Whoever asks a second time does not want to wait for a tidy end.
      if (cancel.signal.aborted) process.exit(name === "SIGINT" ? EXIT.interrupted : EXIT.terminated);
      cancel.abort(new Interrupted(name));
    });
  const context: Context = {
    out: terminalOf(process.stdout, process.env),
    err: terminalOf(process.stderr, process.env),
    // Opened by the commands that read: for the others it may be anything.
    get input() {
      return process.stdin;
    },
    env: process.env,
    signal: cancel.signal,
    services,
    exitCode: 0,
  };
  const code = await run(process.argv.slice(2), context);
  // Native libraries keep threads that would hold the process; what is written must be out before it ends.
  await Promise.all([context.out.write(""), context.err.write("")]);
  process.exit(code);
}

/** The reader has gone (`| head`): there is nobody to write to, and nothing wrong. */
function onWriteError(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
}

function terminalOf(stream: WriteStream, env: Environment): Terminal {
  const colour = stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  return {
    write: (text) =>
      new Promise((resolve) => {
        stream.write(text, () => resolve());
      }),
    isTTY: stream.isTTY === true,
    get columns() {
      return stream.columns || 80;
    },
    colour,
  };
}
