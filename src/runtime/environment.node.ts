import { type OrtApi, ortApi, type Pointer } from "./ort-api.node.ts";

/** ONNX Runtime's own log goes nowhere: what goes wrong is in the error that is thrown. */
const LOG_FATAL = 4;

/** The process's one OrtEnv, with its pool. */
interface Environment {
  readonly handle: Pointer;
  readonly threads: number;
  users: number;
}

/** ONNX Runtime keeps one environment in a process, whoever asks: so must we. */
let shared: Environment | undefined;

/** A hold on the environment. `threads` work on one operator, the caller's included: the pool that the first holder chose. */
export interface EnvironmentHold extends Disposable {
  readonly api: OrtApi;
  readonly handle: Pointer;
  readonly threads: number;
}

/**
 * Takes hold of the environment, and makes it with so many threads when there is none. One pool for all sessions: with
 * pools of their own, 200 sessions on a machine of 64 cores would make 12,600 threads. (Measured with pools of 3
 * on 2 cores, 100 sessions alive: 233 ms to make one and run it once, against 3 ms with the shared pool.)
 */
export function holdEnvironment(threads: number): EnvironmentHold {
  const api = ortApi();
  shared ??= { handle: create(api, threads), threads, users: 0 };
  const held = shared;
  held.users++;
  let released = false;
  return {
    api,
    handle: held.handle,
    threads: held.threads,
    [Symbol.dispose]() {
      if (released) return;
      released = true;
      if (--held.users > 0) return;
      shared = undefined;
      api.release("ReleaseEnv", held.handle);
    },
  };
}

function create(api: OrtApi, threads: number): Pointer {
  const doing = "starting ONNX Runtime";
  const options = api.make("CreateThreadingOptions", doing);
  try {
    api.call("SetGlobalIntraOpNumThreads", doing, options, threads);
    api.call("SetGlobalSpinControl", doing, options, 0); // on busy machines it costs a multiple (docs/LOG.md)
    api.call("SetGlobalInterOpNumThreads", doing, options, 1);
    return api.make("CreateEnvWithGlobalThreadPools", doing, LOG_FATAL, "internvl", options);
  } finally {
    api.release("ReleaseThreadingOptions", options);
  }
}
