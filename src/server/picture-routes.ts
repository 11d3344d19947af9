import { constants, type ReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { Readable } from "node:stream";
import type { Hono } from "hono";
import { z } from "zod";
import { isInPlace } from "../search/folders.ts";
import type { IndexedImage } from "../search/types.ts";
import { type PictureFormat, sniffPicture } from "../vision/sniff.ts";
import { type Env, pictureJson, pictureOf, type Services } from "./context.ts";
import { HttpError, validate } from "./http-error.ts";

/** What browsers show; the others are only served as thumbnails. */
const MEDIA_TYPES: { readonly [F in PictureFormat]: string | undefined } = {
  jpeg: "image/jpeg",
  png: "image/png",
  webp: "image/webp",
  avif: "image/avif",
  gif: "image/gif",
  tiff: "image/tiff",
  svg: "image/svg+xml",
  svgz: undefined,
};

/** An SVG opened by itself is a document: it may not run scripts, load anything or act for this origin. */
const PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

const SNIFF_BYTES = 65_536;

const THUMB_SIDES_PX = [320, 1024] as const;

/** `GET /api/picture`, `/api/image` and `/api/thumb`, all by id. */
export function addPictureRoutes(app: Hono<Env>, services: Services): void {
  const byId = z.object({ id: z.string().min(1) });
  const thumbSchema = byId.extend({
    size: z.coerce
      .number()
      .refine((n) => THUMB_SIDES_PX.some((s) => s === n), `expected one of ${THUMB_SIDES_PX.join(", ")}`)
      .default(THUMB_SIDES_PX[0]),
  });

  app.get("/api/picture", async (c) => {
    const { id } = validate("GET /api/picture", byId, c.req.query());
    return c.json(pictureJson(await pictureOf(services, id)));
  });

  app.get("/api/image", async (c) => {
    const { id } = validate("GET /api/image", byId, c.req.query());
    const picture = await pictureOf(services, id);
    const file = await openInside(picture);
    try {
      const { size, mtimeMs } = await file.stat();
      const etag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
      const headers = {
        "Content-Type": await mediaTypeOf(file),
        "Content-Disposition": `inline; filename*=UTF-8''${encodeRfc5987(basename(picture.path))}`,
        "Content-Security-Policy": PICTURE_POLICY,
        "Cache-Control": "private, no-cache",
        ETag: etag,
      };
      const whole = { ...headers, "Content-Length": String(size) };
      const known = c.req.header("if-none-match") === etag;
      // Nobody reads the body of a HEAD request, so a stream would hold the file open.
      if (known || c.req.method === "HEAD") {
        await file.close();
        return known ? c.body(null, 304, headers) : c.body(null, 200, whole);
      }
      const stream = file.createReadStream({ start: 0, signal: c.var.gone });
      endWhenStalled(stream, services.limits.requestMs);
      return c.body(Readable.toWeb(stream) as ReadableStream, 200, whole);
    } catch (error) {
      await file.close();
      throw error;
    }
  });

  app.get("/api/thumb", async (c) => {
    const { id, size } = validate("GET /api/thumb", thumbSchema, c.req.query());
    const picture = await pictureOf(services, id);
    if (!(await isInPlace(picture.path))) throw gone(picture);
    const bytes = await services.library().index.thumbnail(picture.path, size);
    return c.body(bytes as Uint8Array<ArrayBuffer>, 200, {
      "Content-Type": "image/webp",
      "Content-Security-Policy": PICTURE_POLICY,
      "Cache-Control": "private, max-age=86400",
    });
  });
}

const gone = ({ path }: IndexedImage): HttpError =>
  new HttpError(404, `${basename(path)} is no longer where it was when it was indexed`);

/** Ends a stream that has not moved for `ms`: its reader holds the file open and takes nothing. */
function endWhenStalled(stream: ReadStream, ms: number): void {
  let seen = -1;
  const timer = setInterval(() => {
    if (stream.bytesRead === seen) stream.destroy(new Error(`not read for ${ms} ms`));
    seen = stream.bytesRead;
  }, ms);
  stream.once("close", () => clearInterval(timer));
}

/** Opens a picture of the index that is still at its place, and no link that was put there. */
async function openInside(picture: IndexedImage): Promise<FileHandle> {
  const { path } = picture;
  if (!(await isInPlace(path))) throw gone(picture);
  // A pipe is not waited for; the last two flags are missing on Windows, which has neither trap.
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  const file = await open(path, flags).catch(() => {
    throw gone(picture);
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw gone(picture);
}

async function mediaTypeOf(file: FileHandle): Promise<string> {
  const head = new Uint8Array(SNIFF_BYTES);
  const { bytesRead } = await file.read(head, 0, SNIFF_BYTES, 0);
  const sniffed = sniffPicture(head.subarray(0, bytesRead));
  const type = "format" in sniffed ? MEDIA_TYPES[sniffed.format] : undefined;
  if (type) return type;
  const found = "found" in sniffed ? sniffed.found : `a picture of type ${sniffed.format}`;
  throw new HttpError(
    415,
    `expected a picture that browsers show, found ${found}; ask for its thumbnail instead`,
  );
}

const encodeRfc5987 = (name: string): string =>
  encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
