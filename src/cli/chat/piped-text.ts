import { UsageError } from "../../core/errors.ts";
import { sniffPicture } from "../../vision/sniff.ts";
import { type Context, note } from "../context.ts";

/** More than any model's context holds. */
const MAX_BYTES = 10_000_000;
const WAIT_MS = 2_000;

/**
 * The text that is piped in, without the line break at its end; empty where stdin is a terminal. Throws a UsageError
 * for what is no text or too long.
 */
export async function readPiped(context: Context): Promise<string> {
  const { input, signal } = context;
  if (input.isTTY) return "";
  const chunks: Buffer[] = [];
  let length = 0;
  // Started by another program, stdin may be a pipe that nobody closes: say what is waited for.
  const waiting = setTimeout(
    () => void note(context, "waiting for text from stdin; end it, or run with < /dev/null"),
    WAIT_MS,
  );
  const stop = () => (input as NodeJS.ReadableStream & { destroy?(error?: Error): void }).destroy?.();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const chunk of input) {
      clearTimeout(waiting);
      const bytes = Buffer.from(chunk);
      length += bytes.length;
      if (length > MAX_BYTES)
        throw new UsageError(`stdin: expected a text of at most ${MAX_BYTES} bytes, found more; shorten it`);
      chunks.push(bytes);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(waiting);
    signal.removeEventListener("abort", stop);
  }
  signal.throwIfAborted();
  return decode(Buffer.concat(chunks));
}

function decode(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text.replace(/\r?\n$/, "");
  } catch {
    // Told below, as other bytes that are no text.
  }
  const sniffed = sniffPicture(bytes);
  const found = "format" in sniffed ? `a ${sniffed.format.toUpperCase()} picture` : sniffed.found;
  throw new UsageError(`stdin: expected text in UTF-8, found ${found}; name files as arguments instead`);
}
