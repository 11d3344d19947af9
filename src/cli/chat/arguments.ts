import { stat } from "node:fs/promises";
import { UsageError } from "../../core/errors.ts";
import { PICTURE_EXTENSIONS } from "../../vision/sniff.ts";
import { visible } from "../terminal.ts";

/** What stands after the model on the command line. */
export interface ChatArguments {
  readonly files: readonly string[];
  readonly question: string | undefined;
}

const VIDEO_EXTENSIONS = [".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"];
/** Whatever ends like this was meant as a file, even where there is none. */
const MEDIA_ENDING = new RegExp(
  `(${[...PICTURE_EXTENSIONS, ...VIDEO_EXTENSIONS, ".heic", ".bmp"].join("|").replaceAll(".", "\\.")})$`,
  "i",
);
const PATH_START = /^(\.{1,2}|~)?\/\S*$/;

/** Whether a name ends as those of pictures and videos do. */
export const looksLikeMedia = (text: string): boolean => MEDIA_ENDING.test(text);

/** Whether a name without a file behind it is a mistyped path rather than a question. */
export const looksLikeFile = (text: string): boolean => looksLikeMedia(text) || PATH_START.test(text);

/**
 * Tells files from the question: what exists is a file, the one argument that does not is the question. Throws one
 * UsageError with all that is neither: folders, names of files that do not exist, and further questions.
 */
export async function sortArguments(args: readonly string[]): Promise<ChatArguments> {
  const files: string[] = [];
  const texts: string[] = [];
  const problems: string[] = [];
  for (const arg of args) {
    // A long question is no path to the operating system either.
    const info = await stat(arg).catch(() => undefined);
    if (info?.isDirectory()) problems.push(`${visible(arg)}: is a folder; name the pictures in it`);
    else if (info) files.push(arg);
    else if (looksLikeFile(arg)) problems.push(`${visible(arg)}: there is no such file`);
    else texts.push(arg);
  }
  if (texts.length > 1)
    problems.push(
      `chat: expected files and one question, found ${texts.length} texts that are no files: ${texts.map((t) => JSON.stringify(t)).join(", ")}; put the question in quotes: ${JSON.stringify(texts.join(" "))}`,
    );
  if (texts.some((text) => text.trim() === "")) problems.push("chat: the question is empty; ask something");
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return { files, question: texts[0] };
}

/** A quoted part, or characters other than spaces; a backslash keeps what a shell or a dragged file escapes. */
const WORD = /(?:"[^"]*"|'[^']*'|\\[ '"\\()&]|\S)+/g;

/** Words of a line as a shell would split it; `~/` is the home folder. */
export function splitWords(line: string, home: string | undefined): string[] {
  return (line.match(WORD) ?? []).map((word) => {
    const plain = word.replace(/"([^"]*)"|'([^']*)'|\\([ '"\\()&])/g, (_, a, b, c) => a ?? b ?? c);
    return home !== undefined && word.startsWith("~/") ? home + plain.slice(1) : plain;
  });
}
