import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeWhole } from "../../core/write-whole.node.ts";

/** How many lines are kept. */
export const HISTORY_LINES = 1000;
/** A longer line was pasted, and is not typed again. */
const MAX_CHARACTERS = 2000;

/** The lines typed in earlier chats, newest first; none where there is no file that can be read. */
export async function readHistory(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "" && line.length <= MAX_CHARACTERS)
    .slice(-HISTORY_LINES)
    .reverse();
}

/** Keeps the newest of `lines` (newest first), for the user's eyes only. */
export async function writeHistory(file: string, lines: readonly string[]): Promise<void> {
  const kept = lines
    .filter((line) => line.trim() !== "" && line.length <= MAX_CHARACTERS && !line.includes("\n"))
    .slice(0, HISTORY_LINES)
    .reverse();
  await mkdir(dirname(file), { recursive: true });
  await writeWhole(file, kept.map((line) => `${line}\n`).join(""), 0o600);
}
