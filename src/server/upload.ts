import { openPicture } from "../vision/decode.node.ts";
import { sniffPicture } from "../vision/sniff.ts";
import { HttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";

const MIB = 2 ** 20;

/**
 * The request's body, at most `limit` bytes; throws a 413 as soon as it is known to be longer, and the signal's reason
 * when that aborts first.
 */
export async function readBody(
  request: Request,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () =>
    new HttpError(
      413,
      `the body is larger than ${limit} bytes (${(limit / MIB).toFixed(1)} MiB); send less`,
      {
        Connection: "close",
      },
    );
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of untilAborted(request.body, signal)) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.byteLength;
  }
  return body;
}

/** The chunks of a stream. A client that sends nothing more would hold a plain loop for ever. */
async function* untilAborted(
  stream: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  if (stream === null) return;
  const reader = stream.getReader();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** A JSON body; 415 for another type (which also keeps out what HTML forms can send), 400 for bad JSON. */
export async function readJson(request: Request, limits: Limits, signal: AbortSignal): Promise<unknown> {
  const type = mediaType(request);
  if (type !== "application/json")
    throw new HttpError(415, `expected Content-Type application/json, found ${type || "none"}`);
  const body = await readBody(request, limits.jsonBytes, signal);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    throw new HttpError(400, `the body is not valid JSON: ${(error as Error).message}`);
  }
}

export interface Upload {
  readonly image: Uint8Array;
  /** The form's other fields; empty for a raw body. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
}

/** An uploaded picture: the raw body, or the field `image` of multipart/form-data. Checked, not yet decoded. */
export async function readUpload(request: Request, limits: Limits, signal: AbortSignal): Promise<Upload> {
  const type = mediaType(request);
  // The parts' headers and the other fields come on top of the picture.
  const room = type === "multipart/form-data" ? limits.uploadBytes + limits.jsonBytes : limits.uploadBytes;
  const body = await readBody(request, room, signal);
  const upload =
    type === "multipart/form-data"
      ? await parseForm(request.headers.get("content-type") ?? "", body)
      : { image: body, fields: new Map<string, string[]>() };
  await checkPicture(upload.image, limits);
  return upload;
}

const mediaType = (request: Request): string =>
  (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();

async function parseForm(contentType: string, body: Uint8Array<ArrayBuffer>): Promise<Upload> {
  const form = await new Response(body, { headers: { "content-type": contentType } })
    .formData()
    .catch((error: Error) => {
      throw new HttpError(400, `the body is not valid multipart/form-data: ${error.message}`);
    });
  const file = form.get("image");
  if (!(file instanceof Blob))
    throw new HttpError(400, 'the form has no file in its field "image"; put the picture there');
  const fields = new Map<string, string[]>();
  for (const [name, value] of form)
    if (typeof value === "string") fields.set(name, [...(fields.get(name) ?? []), value]);
  return { image: new Uint8Array(await file.arrayBuffer()), fields };
}

async function checkPicture(bytes: Uint8Array, limits: Limits): Promise<void> {
  if (bytes.byteLength === 0)
    throw new HttpError(400, "the picture is empty; send the bytes of an image file");
  if (bytes.byteLength > limits.uploadBytes)
    throw new HttpError(413, `the picture has ${bytes.byteLength} bytes, ${limits.uploadBytes} are allowed`);
  const sniffed = sniffPicture(bytes);
  if ("found" in sniffed)
    throw new HttpError(
      415,
      `expected a picture (JPEG, PNG, WebP, AVIF, GIF, TIFF, SVG), found ${sniffed.found}`,
    );
  // Decoding checks everything again; here the refusal costs no place in the queue for the model.
  const drawing = sniffed.format === "svg" || sniffed.format === "svgz";
  await openPicture(bytes, {
    maxPixels: limits.uploadPixels,
    maxBytes: drawing ? limits.svgBytes : limits.uploadBytes,
  });
}
