import { open, stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import sharp, { type Metadata, type Sharp } from "sharp";
import { MediaError, messageOf } from "../core/errors.ts";
import type { RgbImage } from "./image.ts";
import { type PictureFormat, sniffPicture } from "./sniff.ts";

export interface DecodeOptions {
  /** Largest width × height that is decoded; more is refused from the header, before memory is taken. */
  readonly maxPixels?: number;
  /** Largest file, and largest unpacked text of a compressed SVG. */
  readonly maxBytes?: number;
  /** Longest time for one picture. */
  readonly timeoutMs?: number;
  /**
   * SVG only: the shorter side in pixels that it is drawn with (more where that needs less than 1 dot per inch).
   * Default: the size that the file declares.
   */
  readonly vectorSide?: number;
  /**
   * "white" (default): what is transparent is laid on white. "drop": the alpha channel is forgotten and the colours
   * beneath it show, as in Pillow's `convert("RGB")`; a drawing has no such colours and is laid on white all the same.
   */
  readonly alpha?: "white" | "drop";
  /** "upright" (default): EXIF orientation is applied. "stored": it is not, as in Pillow's `open`. */
  readonly orientation?: "upright" | "stored";
}

/** The limits that hold where {@link DecodeOptions} names none. */
export const DECODE_LIMITS = { maxPixels: 64e6, maxBytes: 128 * 2 ** 20, timeoutMs: 30_000 } as const;

/**
 * Drawings are programs: a few bytes can keep the drawing library busy for hours, and it cannot be interrupted. These
 * hold for SVG whatever else is allowed.
 */
const DRAWING_LIMITS = { maxBytes: 16 * 2 ** 20, timeoutMs: 10_000 } as const;

/** A picture with more bytes or pixels than are allowed; the message says how many. */
export class TooLargeError extends MediaError {}

/** A picture that was recognised and measured but not decoded yet. */
export interface OpenedPicture {
  /** A new decoding pipeline: turned as asked for, 8 bits, no alpha; CMYK is left to {@link finishRgb}. */
  readonly pipeline: Sharp;
  readonly format: PictureFormat;
  /** Size in pixels of what the pipeline gives. */
  readonly width: number;
  readonly height: number;
  /** How messages call it. */
  readonly name: string;
  readonly cmyk: boolean;
  readonly timeoutMs: number;
}

const CSS_PIXELS_PER_INCH = 72;

// One picture uses one thread and nothing is kept: callers decode many at a time, and the defaults (a thread per
// core for each, a cache of open files and operations) would let memory and threads grow with them. The settings
// belong to the library's process-wide state, so they are made once, where it is loaded.
sharp.cache(false);
sharp.concurrency(1);

/**
 * Decodes JPEG, PNG, WebP, AVIF, GIF and animated WebP (first frame), TIFF (first page), SVG and SVGZ to 8-bit RGB.
 * `source` is a path or the file's bytes. EXIF orientation is applied; alpha is laid on white; 16-bit samples keep
 * their high byte; ICC profiles are ignored and CMYK is converted by R = (1 - C)(1 - K), both as Pillow's
 * `convert("RGB")` does, since that made the published models' inputs.
 *
 * DIFFERS from Pillow: transparent pixels become white instead of their hidden colour unless `alpha` is "drop" (those
 * of a GIF are black then: the library does not give their colour), EXIF orientation is applied unless `orientation`
 * is "stored", and 16-bit grey is scaled (Pillow clips it to white); decode.node.test.ts pins all three.
 *
 * An SVG is always drawn from memory, where the drawing library has no base address and so loads nothing but
 * `data:` URIs: no other file and no network address (pinned by test). One that declares entities is refused, since
 * these multiply; byte and time limits are tighter than for other pictures.
 *
 * Throws a MediaError that names the file for anything that is unreadable, of another format, damaged, or over a
 * limit. After a timeout the native work of that picture may go on for a while on its pool thread.
 */
export async function decodeImage(
  source: string | Uint8Array,
  options: DecodeOptions = {},
): Promise<RgbImage> {
  const picture = await openPicture(source, options);
  return finishRgb(picture, picture.pipeline);
}

/** Reads, recognises and measures a picture, and refuses it where it is over a limit. See {@link decodeImage}. */
export async function openPicture(
  source: string | Uint8Array,
  options: DecodeOptions = {},
): Promise<OpenedPicture> {
  // Not a spread: an undefined from untyped code must not take a limit away.
  const maxPixels = options.maxPixels ?? DECODE_LIMITS.maxPixels;
  const maxBytes = options.maxBytes ?? DECODE_LIMITS.maxBytes;
  const { name, bytes, format } = await readPicture(source, maxBytes);
  const allowedMs = options.timeoutMs ?? DECODE_LIMITS.timeoutMs;
  const timeoutMs = format === "svg" ? Math.min(allowedMs, DRAWING_LIMITS.timeoutMs) : allowedMs;
  const measuring = sharp(bytes, { limitInputPixels: false }).metadata();
  const header = await within(timeoutMs, name, format, measuring);
  // A drawing has no pixels of its own: its declared size only sets the proportions when a side is asked for.
  const density = format === "svg" ? vectorDensity(header, options.vectorSide) : undefined;
  const scale = density === undefined ? 1 : density / CSS_PIXELS_PER_INCH;
  const upright = options.orientation !== "stored";
  const turned = upright && (header.orientation ?? 1) >= 5;
  const width = Math.max(1, Math.round((turned ? header.height : header.width) * scale));
  const height = Math.max(1, Math.round((turned ? header.width : header.height) * scale));
  if (width * height > maxPixels)
    throw new TooLargeError(
      `${name}: expected at most ${maxPixels} pixels, found ${width}×${height} = ${width * height} (a decompression bomb?); shrink the picture or raise maxPixels (internvl index --max-pixels)`,
    );
  const pipeline = sharp(bytes, {
    // The header's word is checked above; this holds against decoders that see another size than the header's.
    limitInputPixels: Math.ceil(maxPixels * 1.01) + 65_536,
    ignoreIcc: true,
    autoOrient: upright,
    failOn: "error",
    ...(density === undefined ? {} : { density }),
  }).timeout({ seconds: Math.max(1, Math.ceil(timeoutMs / 1000)) });
  const cmyk = header.space === "cmyk";
  const opaque = () =>
    options.alpha === "drop" && format !== "svg"
      ? pipeline.removeAlpha()
      : pipeline.flatten({ background: "#ffffff" });
  return {
    pipeline: cmyk
      ? pipeline.pipelineColourspace("cmyk").toColourspace("cmyk")
      : opaque().toColourspace("srgb"),
    format,
    width,
    height,
    name,
    cmyk,
    timeoutMs,
  };
}

/** Runs a pipeline made from `picture` and returns its pixels as RGB. */
export async function finishRgb(picture: OpenedPicture, pipeline: Sharp): Promise<RgbImage> {
  const { name, format, timeoutMs, cmyk } = picture;
  const decoding = pipeline.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const { data, info } = await within(timeoutMs, name, format, decoding);
  return { width: info.width, height: info.height, data: await toRgb(data, info.channels, cmyk) };
}

/** What `work` gives, or a MediaError when it fails or takes too long. */
async function within<T>(
  timeoutMs: number,
  name: string,
  format: PictureFormat,
  work: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MediaError(tooSlow(name, timeoutMs))), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } catch (e) {
    if (e instanceof MediaError) throw e;
    if (e instanceof Error && /timeout/i.test(e.message)) throw new MediaError(tooSlow(name, timeoutMs));
    throw damaged(name, format, e);
  } finally {
    clearTimeout(timer);
  }
}

/** The bytes of a picture whose contents are of a format that is decoded; a compressed SVG comes unpacked. */
async function readPicture(
  source: string | Uint8Array,
  maxBytes: number,
): Promise<{ name: string; bytes: Uint8Array; format: Exclude<PictureFormat, "svgz"> }> {
  const name = typeof source === "string" ? source : "picture in memory";
  const bytes = typeof source === "string" ? await readLimited(source, maxBytes) : source;
  if (bytes.length > maxBytes) throw tooManyBytes(name, bytes.length, maxBytes);
  const sniffed = sniffPicture(bytes);
  if ("found" in sniffed)
    throw new MediaError(
      `${name}: expected a JPEG, PNG, WebP, AVIF, GIF, TIFF or SVG picture, found ${sniffed.found}; convert or remove it`,
    );
  const { format } = sniffed;
  if (format !== "svg" && format !== "svgz") return { name, bytes, format };
  const limit = Math.min(maxBytes, DRAWING_LIMITS.maxBytes);
  const drawing = format === "svg" ? bytes : await unpackSvg(name, bytes, limit);
  if (drawing.length > limit) throw tooManyBytes(name, drawing.length, limit);
  checkDrawing(name, drawing);
  return { name, bytes: drawing, format: "svg" };
}

/** Encodings in which markup looks like ASCII, so that what is searched for cannot hide. */
const PLAIN_ENCODING = /^(utf-?8|us-ascii|ascii|iso-8859-\d+|windows-125\d)$/i;

/** Refuses drawings that declare entities, or are written so that this cannot be seen. */
function checkDrawing(name: string, bytes: Uint8Array): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [, encoding = "utf-8"] =
    /^[^<]*<\?xml[^>]*?encoding\s*=\s*["']([^"']*)/.exec(text.toString("latin1", 0, 1024)) ?? [];
  if (!PLAIN_ENCODING.test(encoding))
    throw new MediaError(
      `${name}: expected an SVG in UTF-8, found the encoding "${encoding.slice(0, 40)}"; save it as UTF-8`,
    );
  if (text.includes("<!ENTITY"))
    throw new MediaError(
      `${name}: expected an SVG without entities of its own, found <!ENTITY, which can multiply without end; save it as plain SVG`,
    );
}

/** Reads a regular file of at most `maxBytes`; pipes, devices and folders are refused without being opened. */
async function readLimited(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    if (!found.isFile())
      throw new MediaError(
        `${path}: expected a picture file, found ${found.isDirectory() ? "a folder" : "a device or pipe"}; give the path of a file`,
      );
    if (found.size > maxBytes) throw tooManyBytes(path, found.size, maxBytes);
    const file = await open(path, "r");
    try {
      // The size may be a lie (procfs) or change: never read past what was promised.
      const bytes = new Uint8Array(found.size);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await file.close();
    }
  } catch (e) {
    if (e instanceof MediaError) throw e;
    throw new MediaError(
      `${path}: expected a readable file, found ${messageOf(e)}; check the path and its permissions`,
      { cause: e },
    );
  }
}

async function unpackSvg(name: string, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const unpacked: Uint8Array = await promisify(gunzip)(bytes, { maxOutputLength: maxBytes }).catch(
    (e: NodeJS.ErrnoException) => {
      const Refusal = e.code === "ERR_BUFFER_TOO_LARGE" ? TooLargeError : MediaError;
      throw new Refusal(
        `${name}: expected a gzip-compressed SVG of at most ${maxBytes} bytes unpacked, found ${messageOf(e)}; simplify the drawing or save it again`,
        { cause: e },
      );
    },
  );
  const inner = sniffPicture(unpacked);
  if ("format" in inner && inner.format === "svg") return unpacked;
  throw new MediaError(`${name}: expected an SVG inside the gzip file, found something else; unpack it`);
}

/** Dots per inch at which the drawing's shorter side has `side` pixels, within what the library takes. */
function vectorDensity(header: Metadata, side: number | undefined): number {
  if (side === undefined) return CSS_PIXELS_PER_INCH;
  const density = (CSS_PIXELS_PER_INCH * side) / Math.min(header.width, header.height);
  return Math.min(100_000, Math.max(1, density));
}

/** Pixels that are converted at a time, a few milliseconds; other work of this thread gets its turn in between. */
const CONVERT_PIXELS = 2 ** 18;

/** Interleaved samples of 1, 3 or 4 (CMYK) channels as RGB. */
async function toRgb(data: Uint8Array, channels: number, cmyk: boolean): Promise<Uint8Array> {
  if (channels === 3 && !cmyk) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const pixels = data.length / channels;
  const out = new Uint8Array(pixels * 3);
  const convert = cmyk ? convertCmyk : convertGrey;
  for (let from = 0; from < pixels; from += CONVERT_PIXELS) {
    convert(data, channels, out, from, Math.min(pixels, from + CONVERT_PIXELS));
    await setImmediate();
  }
  return out;
}

function convertGrey(data: Uint8Array, channels: number, out: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) out.fill(data[i * channels]!, i * 3, i * 3 + 3);
}

/** 255 (1 - ink) (1 - key), the product rounded as an integer: the naive conversion, without ink profiles. */
function convertCmyk(data: Uint8Array, channels: number, out: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const s = i * channels;
    const rest = 255 - data[s + 3]!;
    for (let c = 0; c < 3; c++) {
      // (t + t / 256) / 256, with t half of 256 larger than the product, is the product / 255, rounded.
      const t = data[s + c]! * rest + 128;
      out[i * 3 + c] = rest - ((t + (t >> 8)) >> 8);
    }
  }
}

const tooManyBytes = (name: string, found: number, limit: number): MediaError =>
  new TooLargeError(
    `${name}: expected at most ${limit} bytes, found ${found}; shrink the file or raise maxBytes (internvl index --max-bytes; drawings may have ${DRAWING_LIMITS.maxBytes})`,
  );

const tooSlow = (name: string, timeoutMs: number): string =>
  `${name}: expected to be decoded within ${timeoutMs} ms, found it still going; simplify the picture, or try again when less else is running`;

function damaged(name: string, format: PictureFormat, cause: unknown): MediaError {
  const reason = messageOf(cause).split("\n")[0]!.trim();
  return new MediaError(
    `${name}: expected a complete ${format.toUpperCase()} picture, found it damaged or unsupported (${reason}); replace the file or save it again`,
    { cause },
  );
}
