import { MediaError } from "../../core/errors.ts";
import type { ChatMessages, ChatPicture } from "../../infer/chat-model.ts";
import type { ContentPart } from "../../text/conversation.ts";
import { finishRgb, openPicture, TooLargeError } from "../../vision/decode.node.ts";
import type { Gate } from "../gate.ts";
import type { Limits } from "../limits.ts";
import { ApiError } from "./api-error.ts";
import type { ChatRequest, PictureReference } from "./chat-request.ts";
import { fetchPicture, type Network } from "./remote-picture.node.ts";

/** The shorter side in pixels of a drawing: twice a tile of the published models. */
const DRAWING_SIDE = 896;

/** Longest time for decoding one picture. */
const DECODE_MS = 20_000;

/** The memory that decoded pictures may take: requests are admitted while there is room. */
export class PictureMemory {
  #taken = 0;

  constructor(readonly bytes: number) {}

  get taken(): number {
    return this.#taken;
  }

  /** What one request takes; nothing yet. */
  share(): PictureShare {
    return new PictureShare(this, (bytes) => {
      this.#taken += bytes;
    });
  }
}

/** The memory of one request's pictures; disposing of it gives it back. */
export class PictureShare implements Disposable {
  #own = 0;

  constructor(
    readonly memory: PictureMemory,
    readonly change: (bytes: number) => void,
  ) {}

  /** Throws a 413 for what would never fit, a 503 for what does not fit now. */
  take(bytes: number, param: string): void {
    const { memory } = this;
    if (this.#own + bytes > memory.bytes)
      throw new ApiError(
        413,
        `${param}: the pictures of this request take more than ${memory.bytes} bytes decoded; send fewer or smaller ones`,
        { param },
      );
    if (memory.taken + bytes > memory.bytes)
      throw new ApiError(
        503,
        "there is no memory for more pictures until other requests are answered; try again in a moment",
        { code: "overloaded" },
        { "Retry-After": "5" },
      );
    this.#own += bytes;
    this.change(bytes);
  }

  [Symbol.dispose](): void {
    this.change(-this.#own);
    this.#own = 0;
  }
}

/** Whence pictures may be downloaded; without it only data URLs are read. */
export interface RemotePictures {
  /** Hosts that may be asked, see `RemoteOptions`. */
  readonly hosts: readonly string[];
  /** Default: the system's. */
  readonly network?: Network | undefined;
}

export interface PictureLoading {
  readonly remote: RemotePictures | undefined;
  readonly downloads: Gate;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  /** Charged for every picture before it is decoded. */
  readonly share: PictureShare;
}

/** The conversation with its pictures decoded, one after the other. Throws an ApiError that names the one at fault. */
export async function loadConversation(
  messages: ChatRequest["messages"],
  loading: PictureLoading,
): Promise<ChatMessages> {
  const loaded: ChatMessages[number][] = [];
  for (const { role, content } of messages) {
    if (typeof content === "string") {
      loaded.push({ role, content });
      continue;
    }
    const parts: ContentPart<ChatPicture>[] = [];
    for (const part of content) {
      if (part.type === "text") parts.push(part);
      if (part.type === "image") parts.push({ ...part, image: await loadPicture(part.image, loading) });
    }
    loaded.push({ role, content: parts });
  }
  return loaded;
}

async function loadPicture(reference: PictureReference, loading: PictureLoading): Promise<ChatPicture> {
  const { param } = reference;
  const { signal, limits, share } = loading;
  signal.throwIfAborted();
  try {
    const bytes = reference.url.startsWith("data:")
      ? decodeDataUrl(reference.url)
      : await download(reference.url, loading);
    const opened = await openPicture(bytes, {
      alpha: "drop",
      vectorSide: DRAWING_SIDE,
      maxPixels: limits.uploadPixels,
      maxBytes: limits.uploadBytes,
      timeoutMs: DECODE_MS,
    });
    share.take(opened.width * opened.height * 3, param);
    return await finishRgb(opened, opened.pipeline);
  } catch (error) {
    if (error instanceof ApiError && error.details.param === undefined && error.status !== 503)
      throw new ApiError(error.status, `${param}: ${error.message}`, { ...error.details, param });
    if (error instanceof TooLargeError)
      throw new ApiError(413, `${param}: ${error.message}`, { param, code: "too_large" });
    if (error instanceof MediaError)
      throw new ApiError(400, `${param}: ${error.message}`, { param, code: "invalid_image" });
    throw error;
  }
}

/** Characters before a data URL's contents. */
const MAX_HEAD = 200;

/** The bytes of a data URL with base64. What it says of its type is ignored: contents are recognised. */
export function decodeDataUrl(url: string): Uint8Array {
  const comma = url.indexOf(",");
  if (
    comma < 0 ||
    comma > MAX_HEAD ||
    !/^data:[\w.+-]*(\/[\w.+-]*)?(;[\w-]+=[^;,"]*)*;base64$/i.test(url.slice(0, comma))
  )
    throw new ApiError(400, "expected a data URL of the form data:image/png;base64,…", {
      code: "invalid_image_url",
    });
  const padding = url.endsWith("==") ? 2 : url.endsWith("=") ? 1 : 0;
  const expected = ((url.length - comma - 1) / 4) * 3 - padding;
  const bytes = new Uint8Array(Buffer.from(url.slice(comma + 1), "base64"));
  // Buffer skips what it does not know, so that a truncated or foreign text would become another picture.
  if (bytes.length !== expected)
    throw new ApiError(400, "the data URL is not valid base64; send the file's bytes, padded with =", {
      code: "invalid_base64",
    });
  return bytes;
}

function download(url: string, { remote, downloads, limits, signal }: PictureLoading): Promise<Uint8Array> {
  if (!remote || remote.hosts.length === 0)
    throw new ApiError(400, "this server downloads no pictures; send it as a data URL with base64", {
      code: "remote_images_disabled",
    });
  return downloads.run(signal, () =>
    fetchPicture(url, {
      hosts: remote.hosts,
      network: remote.network,
      maxBytes: limits.uploadBytes,
      timeoutMs: limits.chat.downloadMs,
      signal,
    }),
  );
}
