/** An event longer than this is no chat answer. */
const MAX_EVENT_CHARS = 4_000_000;

/** Takes a stream of server-sent events in chunks of any size and gives the data of each event that is complete. */
export interface EventStreamReader {
  /** Throws an Error when an event grows beyond any answer. */
  push(chunk: string): string[];
}

/** Reads `data:` fields (WHATWG HTML, 9.2.6); other fields and comments are left out, and so is an event that is cut off. */
export function eventStreamReader(): EventStreamReader {
  let held = "";
  let data: string[] = [];
  let size = 0;
  return {
    push(chunk) {
      held += chunk;
      const events: string[] = [];
      // A carriage return at the end may be the first half of a line break.
      const usable = held.endsWith("\r") ? held.length - 1 : held.length;
      const lines = held.slice(0, usable).split(/\r\n|\n|\r/);
      held = lines.pop()! + held.slice(usable);
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) events.push(data.join("\n"));
          data = [];
          size = 0;
        } else if (line === "data" || line.startsWith("data:")) {
          const value = line.slice(5);
          data.push(value.startsWith(" ") ? value.slice(1) : value);
          size += value.length;
        }
      }
      if (size + held.length > MAX_EVENT_CHARS)
        throw new Error(
          `event stream: an event of more than ${MAX_EVENT_CHARS} characters, expected parts of an answer; ask again`,
        );
      return events;
    },
  };
}
