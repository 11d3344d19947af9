import sharp, { type Metadata } from "sharp";
import { MediaError, messageOf } from "../core/errors.ts";
import type { FfmpegOptions } from "./ffmpeg-video.node.ts";
import type { RgbImage } from "./image.ts";
import type { VideoSource } from "./video-types.ts";

/** The last byte of every GIF. */
const TRAILER = 0x3b;

/** A delay below the first is shown as the second: GIFs that ask for "as fast as possible" mean neither. */
const LEAST_DELAY_MS = 20;
const USUAL_DELAY_MS = 100;

/**
 * Opens an animated GIF from its bytes; one with a single picture is a video of one frame. Transparency is laid on
 * white, as for pictures. Throws a MediaError that names the file where it is damaged or over a limit.
 */
export async function openGif(
  name: string,
  bytes: Uint8Array,
  { maxPixels, maxFrames }: FfmpegOptions,
): Promise<VideoSource> {
  // The library shows what it has got: a file that ends before its trailer looks like a shorter animation.
  if (bytes.findLast((byte) => byte !== 0) !== TRAILER)
    throw new MediaError(
      `${name}: expected a complete GIF, found no end mark; the file was cut off, fetch it again`,
    );
  const header = await sharp(bytes, { animated: true, limitInputPixels: false })
    .metadata()
    .catch((e: unknown) => {
      throw damaged(name, e);
    });
  const { width } = header;
  const height = header.pageHeight ?? header.height;
  const frames = header.pages ?? 1;
  if (width * height > maxPixels || frames > maxFrames)
    throw new MediaError(
      `${name}: expected at most ${maxPixels} pixels a frame and ${maxFrames} frames, found ${width}×${height} and ${frames}; shrink the GIF or raise the limit`,
    );
  const { timesS, durationS } = showTimes(header, frames);
  return {
    info: { format: "gif", width, height, fps: frames / durationS, frames, durationS },
    timesS,
    async decode(index, check): Promise<RgbImage> {
      check();
      const data = await sharp(bytes, { page: index, pages: 1, limitInputPixels: false, failOn: "error" })
        .flatten({ background: "#ffffff" })
        .toColourspace("srgb")
        .raw()
        .toBuffer()
        .catch((e: unknown) => {
          throw damaged(name, e);
        });
      return { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
    },
    close: async () => {},
  };
}

function showTimes(header: Metadata, frames: number): { timesS: Float64Array; durationS: number } {
  const timesS = new Float64Array(frames);
  let durationS = 0;
  for (let i = 0; i < frames; i++) {
    timesS[i] = durationS;
    const delay = header.delay?.[i] ?? 0;
    durationS += (delay < LEAST_DELAY_MS ? USUAL_DELAY_MS : delay) / 1000;
  }
  return { timesS, durationS };
}

const damaged = (name: string, cause: unknown): MediaError =>
  new MediaError(
    `${name}: expected a complete GIF, found it damaged (${messageOf(cause).split("\n")[0]!.trim()}); replace the file or save it again`,
    { cause },
  );
