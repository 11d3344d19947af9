import { expect } from "vitest";
import { checkInt8Products } from "../src/infer/check-int8.ts";
import type { Runtime } from "../src/runtime/runtime.ts";

/**
 * Whether this machine multiplies int8 exactly. Where it does not (x86 without VNNI), that is what has to be said, and
 * is asserted here: then w8a8 has no results to compare.
 */
export async function multipliesInt8(runtime: Runtime): Promise<boolean> {
  const said: unknown = await checkInt8Products(runtime).catch((e: unknown) => e);
  if (said === undefined) return true;
  expect((said as Error).message).toContain("this processor's saturate (no VNNI); use w8");
  return false;
}
