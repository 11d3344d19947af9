import koffi from "koffi";
import { RuntimeFailure } from "../core/errors.ts";

/**
 * koffi runs asynchronous calls on stacks that it allocates itself, by default of 128 KiB, guarded by a page that
 * ends the process. Matrix kernels keep panels of 64 KiB on the stack of the thread that calls `Run`, and graph
 * optimisers recurse: they get what a thread has on Linux. Pages that are not touched cost nothing.
 */
const STACK_BYTES = 8 << 20;

// Must come before any library is loaded, hence here: the runtime's files import koffi from this one only.
try {
  if (stackBytes() < STACK_BYTES) koffi.config({ async_stack_size: STACK_BYTES });
} catch {
  // Another user of koffi was first: requireStack says so when a runtime is made, not while a module is imported.
}

function stackBytes(): number {
  return koffi.config().async_stack_size ?? 0;
}

/** Throws a RuntimeFailure when the stacks of asynchronous calls are too small to run models on. */
export function requireStack(): void {
  if (stackBytes() < STACK_BYTES)
    throw new RuntimeFailure(
      `runtime: koffi was used before this module was imported, its stacks of ${stackBytes()} bytes are too small ` +
        `for models; import internvl first, or call koffi.config({ async_stack_size: ${STACK_BYTES} }) before koffi.load`,
    );
}

export { koffi };
