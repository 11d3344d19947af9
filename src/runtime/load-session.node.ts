import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "../core/array.ts";
import type { DType } from "../core/dtype.ts";
import { messageOf, RuntimeFailure, UsageError } from "../core/errors.ts";
import { EXTERNAL_LOCATION } from "../onnx/emit.ts";
import { Cleanup } from "./cleanup.ts";
import type { EnvironmentHold } from "./environment.node.ts";
import { checkWeights, type DeclaredWeight, declaredWeights } from "./external-weights.ts";
import { koffi } from "./koffi.node.ts";
import { NativeBlock } from "./native-memory.node.ts";
import type { NativeWeights } from "./native-weights.node.ts";
import type { OrtApi, Pointer } from "./ort-api.node.ts";
import type { SessionOptions } from "./runtime.ts";

const OPTIMIZATION = { off: 0, basic: 1, extended: 2, all: 99 } as const;

/**
 * Weights up to this size are shown to the graph optimiser. Showing costs a copy while the session is made
 * (AddExternalInitializers), not showing means that the optimiser cannot compute with them.
 */
const SHOWN_BYTES = 1 << 20;

/**
 * Makes an OrtSession from ONNX bytes, on a worker thread.
 *
 * External weights (see EXTERNAL_LOCATION) are given by two calls. `AddInitializer` makes the kernels read the
 * WeightSet's memory in place, but says nothing to the graph optimiser, which would look for the bytes in the
 * file that the model names. `AddExternalInitializers` puts the bytes before the optimiser, as a copy that is
 * freed when the session stands. So what optimisers fold gets both calls: small weights, and f16 and bf16 ones, which
 * graphs widen and the optimiser widens once for all runs. Other large ones get only the first, with an empty file
 * standing at the named place because ONNX Runtime insists that it exists. Should the optimiser want one of these after
 * all, it finds no bytes and the session is refused: then, once, all are shown.
 */
export async function loadSession(
  environment: EnvironmentHold,
  model: Uint8Array,
  weights: NativeWeights | undefined,
  options: SessionOptions,
): Promise<Pointer> {
  const declared = declaredWeights(model);
  checkWeights(declared, weights?.values ?? new Map());
  const shown = declared.filter((w) => HALVES.has(w.dtype) || bytesOf(w.dtype, w.shape) <= SHOWN_BYTES);
  if (shown.length === declared.length)
    return create(environment, model, weights, options, declared, declared);
  try {
    return await withPlaceholder((folder) =>
      create(environment, model, weights, options, declared, shown, folder),
    );
  } catch (error) {
    if (!(error instanceof RuntimeFailure && MISSING_BYTES.test(error.message))) throw error;
    return create(environment, model, weights, options, declared, declared);
  }
}

/** How often pages of files that weights were read from are let go while a session is made. */
const SWEEP_MS = 100;

/** What ONNX Runtime 1.30 says when an optimiser reads a weight from the empty file (tensorprotoutils.cc). */
const MISSING_BYTES = /External initializer: .* size to read: /s;

const HALVES: ReadonlySet<DType> = new Set(["f16", "bf16"]);

/** A folder that holds an empty file of the name that external weights have, while `use` runs. */
async function withPlaceholder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  let folder: string;
  try {
    folder = await mkdtemp(join(tmpdir(), "internvl-session-"));
    await writeFile(join(folder, EXTERNAL_LOCATION), "");
  } catch (cause) {
    throw new RuntimeFailure(`session: cannot make a temporary file in ${tmpdir()}`, { cause });
  }
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function create(
  { api, handle: env, threads: shared }: EnvironmentHold,
  model: Uint8Array,
  weights: NativeWeights | undefined,
  options: SessionOptions,
  used: readonly DeclaredWeight[],
  shown: readonly DeclaredWeight[],
  folder?: string,
): Promise<Pointer> {
  const doing = "session";
  using made = new Cleanup();
  const native = api.make("CreateSessionOptions", doing);
  made.defer(() => api.release("ReleaseSessionOptions", native));
  configure(api, native, options, shared);
  if (folder !== undefined)
    api.call(
      "AddSessionConfigEntry",
      doing,
      native,
      "session.model_external_initializers_file_folder_path",
      folder,
    );
  for (const { name } of used)
    api.call("AddInitializer", `session: weight "${name}"`, native, name, weights!.values.get(name)!.handle);
  for (const { name } of shown) {
    const value = weights!.values.get(name)!.handle;
    const names = koffi.as([name], "str *");
    api.call(
      "AddExternalInitializers",
      `session: weight "${name}"`,
      native,
      names,
      koffi.as([value], "void **"),
      1,
    );
  }
  // What has been packed is not read again: it makes room for what is packed next.
  const sweep = setInterval(() => weights?.letGo(), SWEEP_MS);
  made.defer(() => {
    clearInterval(sweep);
    weights?.letGo();
  });
  const bytes = made.use(NativeBlock.of(model));
  const out: [Pointer | null] = [null];
  const share = used.length > 0 && (options.sharePacked ?? true) && (options.prepack ?? true);
  if (share)
    await api.callAsync(
      "CreateSessionFromArrayWithPrepackedWeightsContainer",
      doing,
      env,
      bytes.address,
      bytes.sizeBytes,
      native,
      weights!.packed,
      out,
    );
  else await api.callAsync("CreateSessionFromArray", doing, env, bytes.address, bytes.sizeBytes, native, out);
  return out[0]!;
}

function configure(api: OrtApi, native: Pointer, options: SessionOptions, shared: number): void {
  const doing = "session";
  const {
    threads = shared,
    spinMicroseconds = 0,
    optimization = "all",
    prepack = true,
    providers = [],
    profile,
  } = options;
  if (!Number.isInteger(threads) || threads < 1)
    throw new UsageError(`session: threads is ${threads}; give a whole number ≥ 1, or leave it out`);
  if (threads === shared && spinMicroseconds === 0) api.call("DisablePerSessionThreads", doing, native);
  else {
    api.call("SetIntraOpNumThreads", doing, native, threads);
    const entry = (name: string, value: number) =>
      api.call("AddSessionConfigEntry", doing, native, `session.intra_op.${name}`, `${value}`);
    entry("allow_spinning", spinMicroseconds > 0 ? 1 : 0);
    if (spinMicroseconds > 0) entry("spin_duration_us", spinMicroseconds);
  }
  api.call("SetSessionGraphOptimizationLevel", doing, native, OPTIMIZATION[optimization]);
  if (!prepack) api.call("AddSessionConfigEntry", doing, native, "session.disable_prepacking", "1");
  if (profile !== undefined) api.call("EnableProfiling", doing, native, profile);
  for (const name of knownProviders(api, providers)) addProvider(api, native, name);
}

/** Throws a UsageError where this machine has nothing that the provider could use: the library says that it failed to. */
function addProvider(api: OrtApi, native: Pointer, name: string): void {
  try {
    api.call("SessionOptionsAppendExecutionProvider", `provider ${name}`, native, name, null, null, 0);
  } catch (cause) {
    const reason = messageOf(cause).replace(/^.*? (?=Failed to )/s, "");
    throw new UsageError(
      `session: ${name} finds no GPU here (${reason}); install the GPU's driver, with Vulkan on Linux, or compute on the CPU`,
      { cause },
    );
  }
}

/** The providers but for the CPU, which ONNX Runtime adds itself; throws a UsageError for one the library lacks. */
function knownProviders(api: OrtApi, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const available = new Map(availableProviders(api).map((name) => [name.toLowerCase(), name]));
  const unknown = names.filter((name) => !available.has(name.toLowerCase()));
  if (unknown.length > 0)
    throw new UsageError(
      `session: no provider ${unknown.join(", ")}; this library has ${[...available.values()].join(", ")}`,
    );
  return names
    .filter((name) => name.toLowerCase() !== "cpu")
    .map((name) => `${available.get(name.toLowerCase())}ExecutionProvider`);
}

/** Built in, but not to be had by name alone: their libraries are not in the package. */
const APART = ["CUDA", "Tensorrt"];

/** Execution providers of the library, without the suffix that all their names share. */
function availableProviders(api: OrtApi): string[] {
  const array: [Pointer | null] = [null];
  const count: [number] = [0];
  api.call("GetAvailableProviders", "listing providers", array, count);
  if (!array[0]) return [];
  const names = koffi.decode(array[0], "str", count[0]) as string[];
  api.call("ReleaseAvailableProviders", "listing providers", array[0], count[0]);
  return names.map((name) => name.replace(/ExecutionProvider$/, "")).filter((name) => !APART.includes(name));
}
