import { spellingPattern } from "./prompt-segments.ts";

/** What a stream of text is made of: text, and markers whole. */
export type StreamItem = { readonly text: string } | { readonly marker: string };

/** Finds markers in a text that comes in chunks of any size, even where a chunk ends inside one. */
export interface MarkerStream {
  /** What is certain now. The end of a chunk that could begin a marker waits for the next. */
  push(chunk: string): StreamItem[];
  /** What waited, as text: nothing more comes. */
  end(): StreamItem[];
}

/** `markers`: their spellings, at least one, none of which begins another. */
export function markerStream(markers: readonly string[]): MarkerStream {
  const pattern = spellingPattern(markers)!;
  const longest = Math.max(...markers.map((m) => m.length));
  let held = "";
  return {
    push(chunk) {
      const parts = (held + chunk).split(pattern);
      const tail = parts.pop()!;
      held = tail.slice(tail.length - unfinishedLength(tail, markers, longest));
      parts.push(tail.slice(0, tail.length - held.length));
      return parts.flatMap((part, i): StreamItem[] => {
        if (part === "") return [];
        return [i % 2 === 0 ? { text: part } : { marker: part }];
      });
    },
    end() {
      const text = held;
      held = "";
      return text === "" ? [] : [{ text }];
    },
  };
}

/** Length of the longest end of `text` that begins a marker and is not all of it; `longest` is that of the markers. */
export function unfinishedLength(text: string, markers: readonly string[], longest: number): number {
  for (let length = Math.min(text.length, longest - 1); length > 0; length--) {
    const end = text.slice(-length);
    if (markers.some((marker) => marker.length > length && marker.startsWith(end))) return length;
  }
  return 0;
}
