import type { ChatMessages, ChatPicture } from "../../infer/chat-model.ts";
import type { ContentPart } from "../../text/conversation.ts";
import type { ChatRequest, MediaReference } from "./chat-request.ts";
import type { MediaLoading } from "./media-source.ts";
import { loadPicture } from "./pictures.ts";
import { VideoLoader } from "./videos.ts";

/**
 * The conversation with its pictures and the frames of its videos decoded, one after the other. Throws an ApiError that
 * names the one at fault.
 */
export async function loadConversation(
  messages: ChatRequest["messages"],
  loading: MediaLoading,
): Promise<ChatMessages> {
  const videos = new VideoLoader(loading);
  const load = async (part: ContentPart<MediaReference>): Promise<ContentPart<ChatPicture>> => {
    if (part.type === "text") return part;
    if (part.type === "image") return { ...part, image: await loadPicture(part.image, loading) };
    return { type: "video", frames: await videos.load(part.frames[0]!) };
  };
  const loaded: ChatMessages[number][] = [];
  for (const { role, content } of messages) {
    if (typeof content === "string") {
      loaded.push({ role, content });
      continue;
    }
    const parts: ContentPart<ChatPicture>[] = [];
    for (const part of content) parts.push(await load(part));
    loaded.push({ role, content: parts });
  }
  return loaded;
}
