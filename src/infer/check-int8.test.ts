import { expect, test } from "vitest";
import { f32 } from "../core/array.ts";
import { ConfigError } from "../core/errors.ts";
import { createRuntime } from "../runtime/ort.node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { checkInt8Products } from "./check-int8.ts";

/** A runtime whose products are `sum`. */
const saturating = (sum: number): Runtime =>
  ({
    session: async () => ({
      run: async () => ({ y: f32([1, 1], [sum]) }),
      [Symbol.asyncDispose]: async () => {},
    }),
  }) as unknown as Runtime;

test("products that saturate are told, with what to do", async () => {
  await expect(checkInt8Products(saturating(32.5))).rejects.toThrow(ConfigError);
  await expect(checkInt8Products(saturating(32.5))).rejects.toThrow(
    "expected 8-bit products to sum up to 64",
  );
  await expect(checkInt8Products(saturating(64))).resolves.toBeUndefined();
});

test("this machine either multiplies exactly or is told that it does not", async () => {
  await using runtime = await createRuntime({ threads: 1 });
  const said = await checkInt8Products(runtime).catch((e: unknown) => e);
  // Either answer is right on some machine; any other error is not.
  if (said !== undefined) expect(said).toBeInstanceOf(ConfigError);
});
