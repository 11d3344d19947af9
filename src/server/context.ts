import type { IncomingMessage } from "node:http";
import type { IndexedImage } from "../search/types.ts";
import type { Gate } from "./gate.ts";
import { HttpError } from "./http-error.ts";
import type { Indexer } from "./indexer.ts";
import type { Limits } from "./limits.ts";
import type { Library } from "./ports.ts";

/** What a request carries through the handlers. */
export interface Env {
  /** What the adapter to Node adds; requests of tests in the same process have none of it. */
  Bindings: { readonly incoming?: IncomingMessage };
  Variables: {
    /** What client and log call the request: the client's own `X-Request-Id`, or one that is made up. */
    requestId: string;
    /** Aborts when the client goes away, the request takes too long or the server stops. */
    signal: AbortSignal;
    /** The same without the time: for answers that take as long as the client's line. */
    gone: AbortSignal;
  };
}

/** What the routes share. */
export interface Services {
  /** The library, or a 503 while it is being loaded. */
  library(): Library;
  indexer(): Indexer;
  /** `undefined` while all is well; otherwise what the page says instead of results. */
  readonly state: () => { readonly loading: boolean; readonly error?: string };
  readonly gate: Gate;
  /** Where requests with a picture in their body wait before it is read. */
  readonly uploads: Gate;
  readonly limits: Limits;
  /** Whether the page may add and remove folders of this machine. */
  readonly folderChanges: boolean;
}

/** A picture's name in URLs: its path, opaque and safe for any character. */
export const pictureId = (path: string): string => Buffer.from(path, "utf8").toString("base64url");

/** The indexed picture of an id, or a 404: nothing outside the index has an id that works. */
export async function pictureOf(services: Services, id: string): Promise<IndexedImage> {
  const path = Buffer.from(id, "base64url").toString("utf8");
  const picture = pictureId(path) === id ? await services.library().index.get(path) : undefined;
  if (!picture) throw new HttpError(404, "there is no picture with this id in the index");
  return picture;
}

export interface PictureJson {
  readonly id: string;
  readonly path: string;
  readonly folder: string;
  readonly width: number;
  readonly height: number;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly modified: string;
  readonly thumb: string;
  readonly score?: number;
}

/** A picture as the API tells of it. */
export function pictureJson(picture: IndexedImage & { readonly score?: number }): PictureJson {
  const { path, folder, width, height, sizeBytes, score } = picture;
  const id = pictureId(path);
  const modified = new Date(picture.mtimeMs).toISOString();
  // The version lets browsers keep thumbnails: a changed picture has another address.
  const thumb = `/api/thumb?id=${id}&v=${picture.contentHash.slice(0, 12)}`;
  return {
    id,
    path,
    ...(score !== undefined && { score }),
    folder,
    width,
    height,
    sizeBytes,
    modified,
    thumb,
  };
}
