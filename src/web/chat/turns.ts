/** A picture as it is sent and kept: upright, within bounds. `width` and `height` in pixels. */
export interface KeptPicture {
  readonly name: string;
  readonly blob: Blob;
  readonly width: number;
  readonly height: number;
}

/** What goes with a question: a picture, or a video as the frames that were taken from it. */
export type Attachment =
  | { readonly kind: "picture"; readonly picture: KeptPicture }
  | { readonly kind: "video"; readonly name: string; readonly frames: readonly KeptPicture[] };

export interface Question {
  readonly text: string;
  readonly attachments: readonly Attachment[];
}

/** How an answer ended: by itself, at the limit of tokens, because the user stopped it, or by a failure. */
export type Ending = "complete" | "length" | "stopped" | "failed";

export interface Answer {
  readonly text: string;
  readonly thinking: string;
  readonly ending: Ending;
  /** Tokens of the answer, as the server counted them. */
  readonly tokens?: number;
  readonly tokensPerSecond?: number;
  /** Why it failed, and what to do. */
  readonly problem?: string;
}

export interface Exchange {
  readonly question: Question;
  /** Absent while it is awaited, or when the page was closed meanwhile. */
  readonly answer?: Answer;
}

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** When it was last changed, in milliseconds since 1970. */
  readonly changedMs: number;
  readonly exchanges: readonly Exchange[];
}

const TITLE_LENGTH = 60;

/** What a conversation is called until someone renames it: the beginning of its first question. */
export function titleOf({ text, attachments }: Question): string {
  const line = text.trim().replace(/\s+/g, " ");
  if (line.length > TITLE_LENGTH)
    return `${[...line]
      .slice(0, TITLE_LENGTH - 1)
      .join("")
      .trimEnd()}…`;
  if (line) return line;
  const first = attachments[0];
  return first ? `About ${first.kind === "video" ? first.name : first.picture.name}` : "New conversation";
}

export const newConversation = (): Conversation => ({
  id: crypto.getRandomValues(new Uint32Array(2)).join("").slice(0, 12),
  title: "New conversation",
  changedMs: Date.now(),
  exchanges: [],
});

/** The pictures of a question, frames of videos among them. */
export const picturesOf = ({ attachments }: Question): KeptPicture[] =>
  attachments.flatMap((a) => (a.kind === "video" ? [...a.frames] : [a.picture]));
