import { messageOf } from "../../core/errors.ts";
import type { Gate } from "../gate.ts";
import type { Limits } from "../limits.ts";
import { ApiError } from "./api-error.ts";
import type { PictureShare } from "./picture-memory.ts";
import { fetchMedia, type MediaKind, type Network } from "./remote-media.node.ts";

/** Whence pictures and videos may be downloaded; without it only data URLs are read. */
export interface RemotePictures {
  /** Hosts that may be asked, see `RemoteOptions`. */
  readonly hosts: readonly string[];
  /** Default: the system's. */
  readonly network?: Network | undefined;
}

export interface MediaLoading {
  readonly remote: RemotePictures | undefined;
  readonly downloads: Gate;
  /** Videos that are read at the same time. */
  readonly videos: Gate;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  /** Charged for every picture and frame before it is decoded. */
  readonly share: PictureShare;
}

/** Characters before a data URL's contents. */
const MAX_HEAD = 200;

export const isDataUrl = (url: string): boolean => url.startsWith("data:");

/**
 * The bytes of a data URL with base64; several files, with commas between them, where so many are allowed. What it says
 * of its type is ignored: contents are recognised.
 */
export function decodeDataUrl(url: string, mostFiles: number): Uint8Array[] {
  const comma = url.indexOf(",");
  if (
    comma < 0 ||
    comma > MAX_HEAD ||
    !/^data:[\w.+-]*(\/[\w.+-]*)?(;[\w-]+=[^;,"]*)*;base64$/i.test(url.slice(0, comma))
  )
    throw new ApiError(400, "expected a data URL of the form data:image/png;base64,…", {
      code: "invalid_image_url",
    });
  // No more of them than tell that there are too many: a body of commas alone would fill the memory.
  const texts = url.slice(comma + 1).split(",", mostFiles + 1);
  if (texts.length > mostFiles)
    throw new ApiError(
      400,
      `expected ${mostFiles === 1 ? "one file" : `at most ${mostFiles} files`} in the data URL, found more, with commas between them; send fewer`,
      { code: "invalid_image_url" },
    );
  return texts.map(decodeBase64);
}

function decodeBase64(text: string): Uint8Array {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const expected = (text.length / 4) * 3 - padding;
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  // Buffer skips what it does not know, so that a truncated or foreign text would become another picture.
  if (bytes.length !== expected)
    throw new ApiError(400, "the data URL is not valid base64; send the file's bytes, padded with =", {
      code: "invalid_base64",
    });
  return bytes;
}

export interface DownloadOptions {
  readonly kind: MediaKind;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** Is given the bytes as they come. */
  readonly take: (chunk: Uint8Array) => void | Promise<void>;
}

/** Reads what is at an address, if this server may. */
export function download(
  url: string,
  { kind, ...options }: DownloadOptions,
  { remote, downloads, signal }: MediaLoading,
): Promise<void> {
  if (!remote || remote.hosts.length === 0)
    throw new ApiError(400, `this server downloads no ${kind}s; send it as a data URL with base64`, {
      code: "remote_images_disabled",
    });
  const { hosts, network } = remote;
  return downloads.run(signal, () => fetchMedia(url, { ...options, kind, hosts, network, signal }));
}

/** A failure of the picture or video that a field names. */
export function aboutField(param: string, error: unknown, status: 400 | 413, code: string): ApiError {
  return new ApiError(status, `${param}: ${messageOf(error)}`, { param, code });
}

/** An ApiError that does not say yet what it is about says it then; one that asks for patience is about all. */
export function withField(param: string, error: ApiError): ApiError {
  if (error.details.param !== undefined || error.status === 503) return error;
  return new ApiError(error.status, `${param}: ${error.message}`, { ...error.details, param });
}
