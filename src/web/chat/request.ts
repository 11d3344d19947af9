import type { Exchange, Question } from "./turns.ts";

/** A part of a message in OpenAI's format. */
export type Part =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "image_url";
      readonly image_url: { readonly url: string; readonly max_dynamic_patch?: number };
    }
  | { readonly type: "video_url"; readonly video_url: { readonly url: string } };

export interface Message {
  readonly role: "user" | "assistant";
  readonly content: string | readonly Part[];
}

/**
 * The messages for a conversation whose last exchange waits for its answer. An earlier question that got no answer is
 * left out, and so is what the model thought. Of a video its frames are sent. `tiles`: most tiles of a picture. `url`
 * gives a picture's data: address.
 */
export async function toMessages(
  exchanges: readonly Exchange[],
  tiles: number | undefined,
  url: (picture: Blob) => Promise<string>,
): Promise<Message[]> {
  const messages: Message[] = [];
  for (const [i, { question, answer }] of exchanges.entries()) {
    const last = i === exchanges.length - 1;
    if (!last && !answer?.text) continue;
    messages.push({ role: "user", content: await contentOf(question, tiles, url) });
    if (!last && answer) messages.push({ role: "assistant", content: answer.text });
  }
  return messages;
}

/** Pictures before the text, as the models were trained. */
async function contentOf(
  { text, attachments }: Question,
  tiles: number | undefined,
  url: (picture: Blob) => Promise<string>,
): Promise<string | Part[]> {
  if (attachments.length === 0) return text;
  const parts: Part[] = [];
  for (const attachment of attachments) {
    if (attachment.kind === "picture") {
      const image_url = { url: await url(attachment.picture.blob) };
      const most = tiles === undefined ? {} : { max_dynamic_patch: tiles };
      parts.push({ type: "image_url", image_url: { ...image_url, ...most } });
    } else {
      const frames = await Promise.all(attachment.frames.map(({ blob }) => url(blob)));
      const files = frames.map((frame) => frame.slice(frame.indexOf(",") + 1));
      parts.push({ type: "video_url", video_url: { url: `data:video/jpeg;base64,${files.join(",")}` } });
    }
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
