import { InvalidArgumentError, Option } from "commander";
import { DEVICES } from "../core/devices.ts";
import { PRECISIONS, type Precision } from "../core/precisions.ts";
import type { Embedder } from "../infer/embedder.ts";
import type { Context } from "./context.ts";
import { locateModel, type OfflineOption } from "./locate-model.ts";
import { defaultIndex, defaultModel } from "./paths.ts";

/** Options that several commands share, so that they are called and explained alike everywhere. */

export interface ModelOptions extends OfflineOption {
  /** A path, or a name on the hub. */
  readonly model: string;
  readonly threads?: number;
  readonly precision?: Precision;
}

export interface IndexOptions {
  readonly index: string;
}

export interface JsonOption {
  readonly json?: true;
}

/** Parser of whole numbers from `min` to `max`. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`Expected a whole number ${range}.`);
  };
}

/** Parser of numbers from `min` to `max`. */
export function decimal(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^(\d+\.?\d*|\.\d+)$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
  };
}

/** Parser of an option that may be given several times. */
export const collect = (value: string, earlier: readonly string[] | undefined): readonly string[] => [
  ...(earlier ?? []),
  value,
];

/** Parser of "a,b,c"; spaces around the parts and empty parts are dropped. */
export const commaList = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

export const modelOption = ({ env }: Context): Option =>
  new Option("-m, --model <model>", "the model to use: a folder, a file, or OWNER/NAME on the hub").default(
    defaultModel(env),
    env.INTERNVL_MODEL ? "INTERNVL_MODEL" : "the nano model that comes with it",
  );

/** Loads the model that the options name. */
export async function openModel(context: Context, options: ModelOptions): Promise<Embedder> {
  const { threads, precision } = options;
  return context.services.loadEmbedder(await locateModel(context, options.model, options), {
    ...(threads === undefined ? {} : { threads }),
    ...(precision === undefined ? {} : { precision }),
  });
}

export const offlineOption = (): Option =>
  new Option("--offline", "use what is on this disk, and ask nothing of the hub");

export const precisionOption = (usual = "as in the file"): Option =>
  new Option(
    "--precision <name>",
    `how weights are kept; w8: 8 bits; w4: 4, but 8 in the vision tower and a language model's head; w8a8: activations in 8 bits too, for processors with VNNI or AMX (default: ${usual})`,
  ).choices(PRECISIONS);

/** What {@link precisionOption} says of chat models. */
export const USUAL_CHAT_PRECISION = "w8 for a folder of large float weights, otherwise as in the file";

/** Of a chat model's vision tower alone. */
export const visionPrecisionOption = (): Option =>
  new Option(
    "--vision-precision <name>",
    "how the weights of a chat model's vision tower are kept; w8a8 reads pictures about twice as fast as w4 and w8, with VNNI or AMX (default: as the other weights)",
  ).choices(PRECISIONS);

export const threadsOption = (): Option =>
  new Option("--threads <n>", "threads of one computation (default: one per core)").argParser(
    integer(1, 1024),
  );

/** Where a chat model computes. */
export const deviceOption = (): Option =>
  new Option(
    "--device <name>",
    "where the chat model computes: on a GPU through WebGPU, or on the CPU (default)",
  ).choices(DEVICES);

export const indexOption = ({ env }: Context): Option =>
  new Option("--index <dir>", "folder of the index").default(
    defaultIndex(env),
    env.INTERNVL_INDEX ? "INTERNVL_INDEX" : "your own, see `internvl --help`",
  );

export const jsonOption = (): Option => new Option("--json", "print JSON for programs");

/** The text under a command's options that shows it in use. */
export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
