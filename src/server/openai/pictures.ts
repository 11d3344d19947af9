import { MediaError } from "../../core/errors.ts";
import type { ChatPicture } from "../../infer/chat-model.ts";
import { finishRgb, openPicture, TooLargeError } from "../../vision/decode.node.ts";
import { ApiError } from "./api-error.ts";
import type { MediaReference } from "./chat-request.ts";
import {
  aboutField,
  decodeDataUrl,
  download,
  isDataUrl,
  type MediaLoading,
  withField,
} from "./media-source.ts";

/** The shorter side in pixels of a drawing: twice a tile of the published models. */
const DRAWING_SIDE = 896;

/** Longest time for decoding one picture. */
const DECODE_MS = 20_000;

/** A picture of a request, decoded. Throws an ApiError that names it. */
export async function loadPicture(
  { url, param }: MediaReference,
  loading: MediaLoading,
): Promise<ChatPicture> {
  loading.signal.throwIfAborted();
  try {
    const bytes = isDataUrl(url) ? decodeDataUrl(url, 1)[0]! : await downloadPicture(url, loading);
    return await decodePicture(bytes, param, loading);
  } catch (error) {
    throw pictureProblem(param, error);
  }
}

/** The pixels of a file, with the memory for them taken before. */
export async function decodePicture(
  bytes: Uint8Array,
  param: string,
  { limits, share }: MediaLoading,
): Promise<ChatPicture> {
  const opened = await openPicture(bytes, {
    alpha: "drop",
    vectorSide: DRAWING_SIDE,
    maxPixels: limits.uploadPixels,
    maxBytes: limits.uploadBytes,
    timeoutMs: DECODE_MS,
  });
  share.take(opened.width * opened.height * 3, param);
  return finishRgb(opened, opened.pipeline);
}

/** What a picture's failure tells a client. */
export function pictureProblem(param: string, error: unknown): unknown {
  if (error instanceof ApiError) return withField(param, error);
  if (error instanceof TooLargeError) return aboutField(param, error, 413, "too_large");
  if (error instanceof MediaError) return aboutField(param, error, 400, "invalid_image");
  return error;
}

async function downloadPicture(url: string, loading: MediaLoading): Promise<Uint8Array> {
  const { limits } = loading;
  const chunks: Uint8Array[] = [];
  const take = (chunk: Uint8Array) => void chunks.push(chunk);
  const bounds = { maxBytes: limits.uploadBytes, timeoutMs: limits.chat.downloadMs };
  await download(url, { kind: "picture", ...bounds, take }, loading);
  return new Uint8Array(Buffer.concat(chunks));
}
