import { open, readFile, stat } from "node:fs/promises";
import sharp from "sharp";
import { MediaError, messageOf } from "../core/errors.ts";
import { Deadline } from "./deadline.ts";
import { openFfmpegVideo } from "./ffmpeg-video.node.ts";
import { openGif } from "./gif-video.node.ts";
import type { RgbImage } from "./image.ts";
import { resize } from "./resize.ts";
import { promisedBytes, sniffVideo, VIDEO_HEAD_BYTES, type VideoFormat } from "./sniff-video.ts";
import type { VideoFrame, VideoInfo, VideoSource } from "./video-types.ts";

export interface VideoOptions {
  /** Largest width × height of a frame. */
  readonly maxPixels?: number;
  /** Largest file. */
  readonly maxBytes?: number;
  /** Most frames in the file; all are counted, few are decoded. */
  readonly maxFrames?: number;
  /** Longest time for opening, and for one call of `readFrames`. */
  readonly timeoutMs?: number;
  /** Stops the opening. */
  readonly signal?: AbortSignal;
}

/** The limits that hold where {@link VideoOptions} names none. A GIF is read into memory: `maxGifBytes`. */
export const VIDEO_LIMITS = {
  maxPixels: 8192 * 4352,
  maxBytes: 16 * 2 ** 30,
  maxGifBytes: 128 * 2 ** 20,
  maxFrames: 2 ** 20,
  timeoutMs: 300_000,
} as const;

export interface ReadFramesOptions {
  /** Each frame is squashed to this size as soon as it is decoded, so that large ones do not pile up. Default: no. */
  readonly size?: { readonly width: number; readonly height: number };
  /** As for pictures (see loadForModel): "exact" is Pillow's arithmetic on this thread; default "auto". */
  readonly resample?: "auto" | "exact";
  readonly signal?: AbortSignal;
}

/** Up to so many pixels the exact resize takes at most 20 ms, and may run on the calling thread. */
const EXACT_PIXELS = 2 ** 20;

/**
 * Opens a video file: MP4 and its relatives, WebM and Matroska with H.264, H.265, VP8, VP9 or AV1, and animated GIF, by
 * contents and not by name. Sound is ignored. All frames are counted, which reads the file once; none is decoded yet.
 *
 * Throws a MediaError that names the file for anything that is unreadable, of another format, cut off, damaged or over
 * a limit, and where FFmpeg's package is not installed; the signal's reason when it is aborted.
 */
export async function openVideo(path: string, options: VideoOptions = {}): Promise<Video> {
  // Not a spread: an undefined from untyped code must not take a limit away.
  const maxPixels = options.maxPixels ?? VIDEO_LIMITS.maxPixels;
  const maxFrames = options.maxFrames ?? VIDEO_LIMITS.maxFrames;
  const maxBytes = options.maxBytes ?? VIDEO_LIMITS.maxBytes;
  const timeoutMs = options.timeoutMs ?? VIDEO_LIMITS.timeoutMs;
  const deadline = new Deadline(path, timeoutMs, options.signal);
  deadline.check();
  const format = await recognise(path, maxBytes);
  const check = () => deadline.check();
  const source =
    format === "gif"
      ? await openGif(path, await readFile(path), { maxPixels, maxFrames })
      : await openFfmpegVideo(path, { maxPixels, maxFrames }, check);
  return new Video(path, source, timeoutMs);
}

/** An open video. Holds the file and its decoder until it is disposed of. */
export class Video implements VideoInfo, AsyncDisposable {
  readonly format: VideoFormat;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly durationS: number;
  readonly #name: string;
  readonly #source: VideoSource;
  readonly #timeoutMs: number;
  #state: "idle" | "reading" | "closed" = "idle";

  constructor(name: string, source: VideoSource, timeoutMs: number) {
    const { format, width, height, fps, frames, durationS } = source.info;
    this.format = format;
    this.width = width;
    this.height = height;
    this.fps = fps;
    this.frames = frames;
    this.durationS = durationS;
    this.#name = name;
    this.#source = source;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Decodes the frames at `indices` (in the order of showing, from 0; ascending, repeats allowed), one after the other
   * and only as they are asked for: memory holds one frame in full size, however many there are. Decoding begins at
   * the key frame before each. Frames are upright: quarter turns that the file asks for are made, pixels that are not
   * square stay as they are. Repeated indices share one picture.
   *
   * Throws a MediaError for indices outside the video or out of order, for damaged frames, after `timeoutMs`, and while
   * another call is being read; the signal's reason when it is aborted. Does not block the event loop.
   */
  async *readFrames(
    indices: readonly number[],
    options: ReadFramesOptions = {},
  ): AsyncGenerator<VideoFrame, undefined> {
    this.#checkIndices(indices);
    const deadline = new Deadline(this.#name, this.#timeoutMs, options.signal);
    const check = () => deadline.check();
    check();
    if (this.#state !== "idle")
      throw new MediaError(
        `${this.#name}: expected an open video that nobody else reads, found it ${this.#state === "closed" ? "closed; open it again" : "being read; finish that first, or open it twice"}`,
      );
    this.#state = "reading";
    try {
      let last: VideoFrame | undefined;
      for (const index of indices) {
        if (last?.index !== index) {
          const full = await this.#source.decode(index, check);
          check();
          last = {
            index,
            timeS: this.#source.timesS[index]!,
            image: await shrink(full, options.size, options.resample ?? "auto"),
          };
        }
        yield last;
      }
    } finally {
      if (this.#state === "reading") this.#state = "idle";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = "closed";
    await this.#source.close();
  }

  #checkIndices(indices: readonly number[]): void {
    indices.forEach((index, i) => {
      if (!Number.isSafeInteger(index) || index < 0 || index >= this.frames)
        throw new MediaError(
          `${this.#name}: expected frames from 0 to ${this.frames - 1}, found ${index}; choose others`,
        );
      if (i > 0 && index < indices[i - 1]!)
        throw new MediaError(
          `${this.#name}: expected ascending frames, found ${index} after ${indices[i - 1]}; sort them`,
        );
    });
  }
}

/** `image` squashed to `size`. Large ones are shrunk on a pool thread; that library's enlarging is not centred. */
async function shrink(
  image: RgbImage,
  size: ReadFramesOptions["size"],
  how: "auto" | "exact",
): Promise<RgbImage> {
  if (!size) return image;
  const { width, height } = size;
  const { data } = image;
  const native =
    how === "auto" &&
    image.width * image.height > EXACT_PIXELS &&
    width <= image.width &&
    height <= image.height;
  if (!native) return resize(image, width, height);
  const raw = { width: image.width, height: image.height, channels: 3 } as const;
  const small = await sharp(data, { raw, limitInputPixels: false })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
  return { width, height, data: new Uint8Array(small.buffer, small.byteOffset, small.length) };
}

/** The format of a regular file of a video that is not too large and not shorter than it says. */
async function recognise(path: string, maxBytes: number): Promise<VideoFormat> {
  const { head, size } = await readHead(path).catch((e: unknown) => {
    if (e instanceof MediaError) throw e;
    throw new MediaError(
      `${path}: expected a readable file, found ${messageOf(e)}; check the path and its permissions`,
      { cause: e },
    );
  });
  const sniffed = sniffVideo(head);
  if ("found" in sniffed)
    throw new MediaError(
      `${path}: expected an MP4, WebM, Matroska or GIF video, found ${sniffed.found}; convert the video, or give a picture as a picture`,
    );
  const { format } = sniffed;
  const limit = format === "gif" ? Math.min(maxBytes, VIDEO_LIMITS.maxGifBytes) : maxBytes;
  if (size > limit)
    throw new MediaError(
      `${path}: expected at most ${limit} bytes, found ${size}; cut or shrink the video${limit < maxBytes ? "" : " or raise maxBytes"}`,
    );
  const promised = format === "matroska" ? promisedBytes(head) : undefined;
  if (promised !== undefined && promised > size)
    throw new MediaError(
      `${path}: expected ${promised} bytes as its head says, found ${size}; the file was cut off, fetch it again`,
    );
  return format;
}

async function readHead(path: string): Promise<{ head: Uint8Array; size: number }> {
  const found = await stat(path);
  if (!found.isFile())
    throw new MediaError(
      `${path}: expected a video file, found ${found.isDirectory() ? "a folder" : "a device or pipe"}; give the path of a file`,
    );
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(new Uint8Array(VIDEO_HEAD_BYTES), 0, VIDEO_HEAD_BYTES, 0);
    return { head: buffer.subarray(0, bytesRead), size: found.size };
  } finally {
    await file.close();
  }
}
