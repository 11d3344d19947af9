import { ConfigError } from "../core/errors.ts";

/**
 * The lines of a UTF-8 byte stream, without their ends. Throws a ConfigError for bytes that are not UTF-8 and for a
 * line longer than `maxBytes`, so that a file without line ends cannot fill the memory.
 */
export async function* splitLines(
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  maxBytes = 2 ** 22,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let number = 1;
  const decode = (chunk?: Uint8Array) => {
    try {
      return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
    } catch (cause) {
      throw new ConfigError(
        `${name}: expected UTF-8 text, found other bytes after line ${number}; save the file as UTF-8`,
        { cause },
      );
    }
  };
  for await (const chunk of chunks) {
    const lines = (rest + decode(chunk)).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      number++;
      yield line.endsWith("\r") ? line.slice(0, -1) : line;
    }
    if (rest.length > maxBytes)
      throw new ConfigError(
        `${name}: expected lines of at most ${maxBytes} bytes, found line ${number} to be longer; is this a file of JSON lines?`,
      );
  }
  rest += decode();
  if (rest !== "") yield rest;
}
