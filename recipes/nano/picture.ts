import type { SourceKey } from "./sources.ts";

/** Language tag (lower case, BCP 47: "de", "zh-hant", "sr-latn") to phrases, the main one first. */
export type Captions = Readonly<Record<string, readonly string[]>>;

/** A picture of one source before it is converted. */
export interface Picture {
  /** Unique over all sources, also the output's path below `images/` without its ending. */
  readonly id: string;
  readonly source: SourceKey;
  /** What the picture shows: `emoji:1F981`, `flag:DE`, `openclipart:pear`, `tuxpaint:red kangaroo`. */
  readonly group: string;
  /**
   * Whose hand drew it: pictures of one group and family are nearly one drawing (Fluent's flat and 3D cats),
   * so they go to the same side when drawings are held out.
   */
  readonly family: string;
  /** A file to read, or SVG text. */
  readonly input: { readonly file: string } | { readonly svg: string };
  /** Cut away empty margins: for clip art drawn small on a page. */
  readonly trim: boolean;
  readonly captions: Captions;
  /** One of many of the same title, of which enough are there already: never for training. */
  readonly surplus?: true;
}

/** A picture that is left out, with the reason a reader can check. */
export interface Skipped {
  readonly id: string;
  readonly source: SourceKey;
  readonly reason: string;
}

/** What a source's reader returns. */
export interface Collected {
  readonly pictures: readonly Picture[];
  readonly skipped: readonly Skipped[];
}

/** Phrases without empties and repeats (compared without case), in order, at most `limit`. */
export function distinct(phrases: Iterable<string>, limit: number): string[] {
  const seen = new Map<string, string>();
  for (const phrase of phrases) {
    const text = phrase.replace(/\s+/gu, " ").trim();
    if (text !== "" && !seen.has(text.toLowerCase())) seen.set(text.toLowerCase(), text);
    if (seen.size === limit) break;
  }
  return [...seen.values()];
}
