import type { Exchange, Question } from "./turns.ts";

/** A part of a message in OpenAI's format. */
export type Part =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "image_url";
      readonly image_url: { readonly url: string; readonly detail?: "low" };
    };

export interface Message {
  readonly role: "user" | "assistant";
  readonly content: string | readonly Part[];
}

/**
 * The messages for a conversation whose last exchange waits for its answer. An earlier question that got no answer is
 * left out, and so is what the model thought. Where all pictures are frames of videos each gets one tile
 * (`detail: "low"`, which holds for a whole conversation). `url` gives a picture's data: address.
 */
export async function toMessages(
  exchanges: readonly Exchange[],
  url: (picture: Blob) => Promise<string>,
): Promise<Message[]> {
  const messages: Message[] = [];
  const attachments = exchanges.flatMap(({ question }) => question.attachments);
  const detail = attachments.every(({ kind }) => kind === "video") ? { detail: "low" as const } : {};
  for (const [i, { question, answer }] of exchanges.entries()) {
    const last = i === exchanges.length - 1;
    if (!last && !answer?.text) continue;
    messages.push({ role: "user", content: await contentOf(question, url, detail) });
    if (!last && answer) messages.push({ role: "assistant", content: answer.text });
  }
  return messages;
}

/** Pictures before the text, as the models were trained; frames with their number. */
async function contentOf(
  { text, attachments }: Question,
  url: (picture: Blob) => Promise<string>,
  detail: { readonly detail?: "low" },
): Promise<string | Part[]> {
  if (attachments.length === 0) return text;
  const parts: Part[] = [];
  for (const attachment of attachments) {
    if (attachment.kind === "picture")
      parts.push({ type: "image_url", image_url: { url: await url(attachment.picture.blob), ...detail } });
    else
      for (const [i, frame] of attachment.frames.entries())
        parts.push(
          { type: "text", text: `Frame-${i + 1}: ` },
          { type: "image_url", image_url: { url: await url(frame.blob), ...detail } },
        );
  }
  if (text) parts.push({ type: "text", text });
  return parts;
}

/** The bytes as a data: address. */
export function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result as string));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
