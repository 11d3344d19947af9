import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { LibraryHandle, TypeObject } from "koffi";
import { RuntimeFailure } from "../core/errors.ts";
import { koffi, requireStack } from "./koffi.node.ts";

/** A C function, called with numbers, addresses, strings or typed arrays. */
export type NativeFunction = ReturnType<LibraryHandle["func"]>;

/** An address in native memory; 0n and null are both C's NULL. */
export type Pointer = bigint;

const P = "void *";
const STR = "str";
const INT = "int";
const SIZE = "size_t";
const PATH = process.platform === "win32" ? "str16" : "str"; // ORTCHAR_T
// koffi does not export the type of these, and the declarations of a build need a name.
const out = (type: string): TypeObject => koffi.out(koffi.pointer(type)) as unknown as TypeObject;
const OUT = out("void *");
const INT_OUT = out("int");
const SIZE_OUT = out("size_t");

/**
 * Functions that return a status: their place in `OrtApi` and their parameters. The struct only ever grows at its
 * end, so a place never changes (onnxruntime_c_api.h; the test calls what is listed here).
 */
const STATUS_FUNCTIONS = {
  CreateEnv: [3, INT, STR, OUT],
  CreateSessionFromArray: [8, P, P, SIZE, P, OUT],
  CreateSessionOptions: [10, OUT],
  EnableProfiling: [14, P, PATH],
  SetSessionGraphOptimizationLevel: [23, P, INT],
  SetIntraOpNumThreads: [24, P, INT],
  SetInterOpNumThreads: [25, P, INT],
  SessionGetInputCount: [30, P, SIZE_OUT],
  SessionGetOutputCount: [31, P, SIZE_OUT],
  SessionGetInputTypeInfo: [33, P, SIZE, OUT],
  SessionGetOutputTypeInfo: [34, P, SIZE, OUT],
  SessionGetInputName: [36, P, SIZE, P, OUT],
  SessionGetOutputName: [37, P, SIZE, P, OUT],
  CreateRunOptions: [39, OUT],
  RunOptionsSetTerminate: [46, P],
  CreateTensorAsOrtValue: [48, P, P, SIZE, INT, OUT],
  CreateTensorWithDataAsOrtValue: [49, P, P, SIZE, P, SIZE, INT, OUT],
  IsTensor: [50, P, INT_OUT],
  GetTensorMutableData: [51, P, OUT],
  CastTypeInfoToTensorInfo: [55, P, OUT],
  GetTensorElementType: [60, P, INT_OUT],
  GetDimensionsCount: [61, P, SIZE_OUT],
  GetDimensions: [62, P, P, SIZE],
  GetSymbolicDimensions: [63, P, P, SIZE],
  GetTensorTypeAndShape: [65, P, OUT],
  CreateMemoryInfo: [68, STR, INT, INT, INT, OUT],
  CreateCpuMemoryInfo: [69, INT, INT, OUT],
  AllocatorFree: [76, P, P],
  GetAllocatorWithDefaultOptions: [78, OUT],
  CreateEnvWithGlobalThreadPools: [119, INT, STR, P, OUT],
  DisablePerSessionThreads: [120, P],
  CreateThreadingOptions: [121, OUT],
  GetAvailableProviders: [125, OUT, INT_OUT],
  ReleaseAvailableProviders: [126, P, INT],
  AddSessionConfigEntry: [130, P, STR, STR],
  CreateAllocator: [131, P, P, OUT],
  RunWithBinding: [133, P, P, P],
  CreateIoBinding: [134, P, OUT],
  BindInput: [136, P, STR, P],
  BindOutput: [137, P, STR, P],
  BindOutputToDevice: [138, P, STR, P],
  GetBoundOutputValues: [140, P, P, OUT, SIZE_OUT],
  SetGlobalIntraOpNumThreads: [147, P, INT],
  SetGlobalInterOpNumThreads: [148, P, INT],
  SetGlobalSpinControl: [149, P, INT],
  AddInitializer: [150, P, STR, P],
  CreatePrepackedWeightsContainer: [166, OUT],
  CreateSessionFromArrayWithPrepackedWeightsContainer: [169, P, P, SIZE, P, P, OUT],
  AddExternalInitializers: [210, P, P, P, SIZE],
  SessionOptionsAppendExecutionProvider: [216, P, STR, P, P, SIZE],
} as const;

/** Functions that free what a status function made. */
const RELEASE_FUNCTIONS = {
  ReleaseEnv: 92,
  ReleaseStatus: 93,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseTypeInfo: 98,
  ReleaseTensorTypeAndShapeInfo: 99,
  ReleaseSessionOptions: 100,
  ReleaseThreadingOptions: 122,
  ReleaseAllocator: 132,
  ReleaseIoBinding: 135,
  ReleasePrepackedWeightsContainer: 167,
} as const;

export type StatusFunction = keyof typeof STATUS_FUNCTIONS;
export type ReleaseFunction = keyof typeof RELEASE_FUNCTIONS;

/** The version of the C API that the table was written for: present in every later ONNX Runtime. */
const API_VERSION = 29;
const GET_ERROR_MESSAGE = 2;

/** Where the npm package keeps the library of this platform; throws a RuntimeFailure for one it does not serve. */
function libraryPath(): string {
  const names: Partial<Record<NodeJS.Platform, string>> = {
    linux: "libonnxruntime.so.1",
    darwin: "libonnxruntime.1.dylib",
    win32: "onnxruntime.dll",
  };
  const name = names[process.platform];
  if (name === undefined)
    throw new RuntimeFailure(
      `runtime: onnxruntime-node has no library for ${process.platform}/${process.arch}; it serves Linux, macOS and Windows`,
    );
  const root = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  return join(root, "bin", "napi-v6", process.platform, process.arch, name);
}

/** The C API of ONNX Runtime: every call checks its status and says what was being done. */
export class OrtApi {
  readonly version: string;
  /** Held for ever: koffi unloads a library whose handle is collected, whoever may hold addresses in it. */
  readonly library: LibraryHandle;
  readonly #functions: Record<string, NativeFunction>;
  readonly #message: NativeFunction;

  constructor() {
    requireStack();
    // Prompts come in pieces here, whose scores are small: the tiles of flash attention cost more than they save
    // (docs/LOG.md, 2026-11-28).
    process.env.ORT_GQA_DISABLE_FLASH_ATTENTION ??= "1";
    const path = libraryPath();
    let base: Pointer;
    try {
      this.library = koffi.load(path);
      base = this.library.func("OrtGetApiBase", P, [])();
    } catch (cause) {
      throw new RuntimeFailure(
        `runtime: cannot load ${path}; is onnxruntime-node installed for ${process.platform}/${process.arch}?`,
        { cause },
      );
    }
    const [getApi, getVersion] = koffi.decode(base, P, 2) as [Pointer, Pointer];
    this.version = koffi.call(getVersion, koffi.proto(STR, []));
    const api: Pointer | null = koffi.call(getApi, koffi.proto(P, ["uint32_t"]), API_VERSION);
    if (!api)
      throw new RuntimeFailure(
        `runtime: ${path} is ONNX Runtime ${this.version}, which lacks version ${API_VERSION} of the C API; install onnxruntime-node 1.30`,
      );
    const at = (index: number, type: TypeObject): NativeFunction =>
      koffi.decode(koffi.decode(api, index * koffi.sizeof(P), P), type);
    this.#message = at(GET_ERROR_MESSAGE, koffi.proto(STR, [P]));
    this.#functions = {};
    for (const [name, [index, ...parameters]] of Object.entries(STATUS_FUNCTIONS))
      this.#functions[name] = at(index, koffi.proto(P, [...parameters]));
    for (const [name, index] of Object.entries(RELEASE_FUNCTIONS))
      this.#functions[name] = at(index, koffi.proto("void", [P]));
  }

  /** Calls `name`; throws a RuntimeFailure "`doing`: the runtime's message" when it is refused. */
  call(name: StatusFunction, doing: string, ...args: unknown[]): void {
    this.#check(this.#functions[name]!(...args), doing);
  }

  /** Calls a function whose last parameter is where it puts what it made. */
  make(name: StatusFunction, doing: string, ...args: unknown[]): Pointer {
    const out: [Pointer | null] = [null];
    this.call(name, doing, ...args, out);
    return out[0] ?? 0n;
  }

  /** Calls a function whose last parameter is where it puts a count or a type. */
  number(name: StatusFunction, doing: string, ...args: unknown[]): number {
    const out: [number] = [0];
    this.call(name, doing, ...args, out);
    return Number(out[0]);
  }

  /**
   * Calls `name` on a worker thread. What the arguments point to must stay where it is until the promise settles:
   * pass native memory, never a typed array.
   */
  callAsync(name: StatusFunction, doing: string, ...args: unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#functions[name]!.async(...args, (error: Error | null, status: Pointer | null) => {
        try {
          if (error) throw new RuntimeFailure(`${doing}: ${error.message}`, { cause: error });
          this.#check(status, doing);
          resolve();
        } catch (failure) {
          reject(failure);
        }
      });
    });
  }

  release(name: ReleaseFunction, pointer: Pointer): void {
    this.#functions[name]!(pointer);
  }

  #check(status: Pointer | null, doing: string): void {
    if (!status) return;
    const message: string = this.#message(status);
    this.release("ReleaseStatus", status);
    throw new RuntimeFailure(`${doing}: ${message.trim()}`);
  }
}

let loaded: OrtApi | undefined;

/** The library, loaded once in a process: it is code, not state, and cannot be unloaded while its threads live. */
export function ortApi(): OrtApi {
  loaded ??= new OrtApi();
  return loaded;
}
