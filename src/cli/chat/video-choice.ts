import { parseArgs } from "node:util";
import { messageOf, UsageError } from "../../core/errors.ts";
import { decimal, integer } from "../options.ts";

/** Which frames of a video are shown. */
export interface VideoChoice {
  readonly frames: number;
  /** Seconds from the start; default: the whole video. */
  readonly from?: number;
  readonly to?: number;
}

/** Longest time of a video that can be named, in seconds. */
const MAX_SECONDS = 100_000;

/** Parsers of the options that choose frames. */
export const VIDEO_OPTIONS = {
  frames: integer(1, 65_536),
  from: decimal(0, MAX_SECONDS),
  to: decimal(0, MAX_SECONDS),
} as const;

/** Throws a UsageError for a part that ends before it begins; `where` begins its message. */
export function checkBounds(where: string, from: number | undefined, to: number | undefined): void {
  if (from !== undefined && to !== undefined && from >= to)
    throw new UsageError(`${where}: expected --from before --to, found ${from} and ${to}; exchange them`);
}

/**
 * The files of a command's words, and the frames that they choose; what they do not say is as in `usual`, but bounds
 * come together: those of another video mean nothing. Throws a UsageError.
 */
export function videoArguments(
  command: string,
  words: readonly string[],
  usual: VideoChoice,
): { readonly files: readonly string[]; readonly choice: VideoChoice } {
  const text = { type: "string" } as const;
  const options = { frames: text, from: text, to: text };
  const { values, positionals: files } = inWords(command, () =>
    parseArgs({ args: [...words], options, allowPositionals: true }),
  );
  const number = (name: keyof typeof VIDEO_OPTIONS): number | undefined => {
    const value = values[name];
    return value === undefined
      ? undefined
      : inWords(`${command} --${name}`, () => VIDEO_OPTIONS[name](value));
  };
  const [frames, from, to] = [number("frames"), number("from"), number("to")];
  checkBounds(command, from, to);
  const bounds =
    from === undefined && to === undefined
      ? usual
      : { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
  return { files, choice: { ...bounds, frames: frames ?? usual.frames } };
}

/** What `parse` gives; what it refuses is a mistake in the command. */
function inWords<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(`${where}: ${messageOf(error)}`);
  }
}
