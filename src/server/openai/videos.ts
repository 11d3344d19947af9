import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MediaError } from "../../core/errors.ts";
import type { ChatPicture } from "../../infer/chat-model.ts";
import { FRAME_COUNTS, segmentFrames } from "../../vision/frame-sampling.ts";
import { sniffVideo, VIDEO_HEAD_BYTES } from "../../vision/sniff-video.ts";
import { openVideo, type Video } from "../../vision/video.node.ts";
import { ApiError } from "./api-error.ts";
import type { FrameChoice, MediaReference } from "./chat-request.ts";
import {
  aboutField,
  decodeDataUrl,
  download,
  isDataUrl,
  type MediaLoading,
  withField,
} from "./media-source.ts";
import { decodePicture, pictureProblem } from "./pictures.ts";

/** Reads the videos of one request, whose frames are counted together. */
export class VideoLoader {
  #frames = 0;

  constructor(readonly loading: MediaLoading) {}

  /**
   * The frames of a video: those that are chosen of a file, or those that a data URL lists. Throws an ApiError that names
   * the field.
   */
  async load({ url, param, choice = {} }: MediaReference): Promise<ChatPicture[]> {
    const { signal, limits, videos } = this.loading;
    signal.throwIfAborted();
    const files = isDataUrl(url) ? this.#decode(url, param) : undefined;
    const [file] = files ?? [];
    if (files && file && (files.length > 1 || "found" in sniffVideo(file.subarray(0, VIDEO_HEAD_BYTES))))
      return this.#listed(files, param, choice);
    // Until then a download lies on the disk: these are few at a time, as the decoders are.
    return videos.run(signal, () =>
      inTemporaryFile(async (path) => {
        try {
          if (file) await writeFile(path, file);
          else await downloadVideo(url, path, this.loading);
          await using video = await openVideo(path, {
            maxBytes: limits.chat.videoBytes,
            maxPixels: limits.uploadPixels,
            timeoutMs: limits.chat.videoMs,
            signal,
          });
          return await this.#chosen(video, param, choice);
        } catch (error) {
          if (error instanceof ApiError) throw withField(param, error);
          if (!(error instanceof MediaError)) throw error;
          // Where it lies for the while is nobody's business.
          const problem = new MediaError(error.message.replaceAll(`${path}: `, ""));
          throw aboutField(param, problem, 400, "invalid_video");
        }
      }),
    );
  }

  #decode(url: string, param: string): Uint8Array[] {
    try {
      return decodeDataUrl(url, this.loading.limits.chat.frames);
    } catch (error) {
      throw error instanceof ApiError ? withField(param, error) : error;
    }
  }

  /** Pictures that are frames already, chosen by the client. */
  async #listed(files: readonly Uint8Array[], param: string, choice: FrameChoice): Promise<ChatPicture[]> {
    const [given] = Object.keys(choice);
    if (given !== undefined)
      throw new ApiError(
        400,
        `${fieldOf(param, given)}: only for a video's file, and the URL holds frames; leave it out`,
        { param: fieldOf(param, given) },
      );
    this.#count(files.length, param);
    const frames: ChatPicture[] = [];
    for (const [i, file] of files.entries()) {
      this.loading.signal.throwIfAborted();
      try {
        frames.push(await decodePicture(file, param, this.loading));
      } catch (error) {
        if (files.length > 1 || !(error instanceof MediaError)) throw pictureProblem(param, at(i, error));
        const expected =
          "expected an MP4, WebM, Matroska or GIF video, or frames as pictures with commas between";
        throw aboutField(param, `${expected}; ${error.message}`, 400, "invalid_video");
      }
    }
    return frames;
  }

  async #chosen(video: Video, param: string, choice: FrameChoice): Promise<ChatPicture[]> {
    const { limits, share, signal } = this.loading;
    const { videoSeconds, framePixels } = limits.chat;
    if (video.durationS > videoSeconds)
      throw new ApiError(
        413,
        `expected at most ${videoSeconds} seconds, found ${Math.round(video.durationS)}; cut the video`,
        { code: "too_large" },
      );
    const bounds = { fromS: choice.video_start, toS: choice.video_end };
    const count = frameCount(video, choice);
    this.#count(count, fieldOf(param, choice.fps === undefined ? "num_frames" : "fps"));
    const indices = segmentFrames(video, count, bounds);
    const scale = Math.min(1, Math.sqrt(framePixels / (video.width * video.height)));
    const size = {
      width: Math.max(1, Math.floor(video.width * scale)),
      height: Math.max(1, Math.floor(video.height * scale)),
    };
    share.take(new Set(indices).size * size.width * size.height * 3, param);
    const frames: ChatPicture[] = [];
    // DIFFERS: large frames are shrunk before they become tiles, so that a few requests do not take all memory.
    for await (const { image } of video.readFrames(indices, { signal, ...(scale < 1 && { size }) }))
      frames.push(image);
    return frames;
  }

  #count(frames: number, param: string): void {
    const most = this.loading.limits.chat.frames;
    this.#frames += frames;
    if (this.#frames > most)
      throw new ApiError(
        400,
        `${param}: expected at most ${most} frames of all videos of a request, found ${this.#frames}; take fewer`,
        { param },
      );
  }
}

/** How many frames are taken: as many as were asked for, or so many a second, but then none twice. */
export function frameCount({ frames, fps }: Pick<Video, "frames" | "fps">, choice: FrameChoice): number {
  if (choice.fps === undefined) return choice.num_frames ?? FRAME_COUNTS.demo;
  const durationS = frames / fps;
  const seconds = Math.min(choice.video_end ?? durationS, durationS) - (choice.video_start ?? 0);
  const most = Math.min(choice.num_frames ?? Number.POSITIVE_INFINITY, Math.round(seconds * fps));
  return Math.max(1, Math.min(Math.round(seconds * choice.fps), most));
}

/** The name of a field beside the video's URL. */
const fieldOf = (param: string, name: string): string => param.replace(/url$/, name);

/** The same error, which names the frame. */
const at = (i: number, error: unknown): unknown =>
  error instanceof MediaError && error.constructor === MediaError
    ? new MediaError(`frame ${i + 1}: ${error.message}`)
    : error;

async function downloadVideo(url: string, path: string, loading: MediaLoading): Promise<void> {
  const { videoBytes: maxBytes, videoMs: timeoutMs } = loading.limits.chat;
  await using file = await open(path, "wx");
  const take = async (chunk: Uint8Array) => {
    await file.writeFile(chunk);
  };
  await download(url, { kind: "video", maxBytes, timeoutMs, take }, loading);
}

/** Gives the path of a file that is not there yet and is gone afterwards, in a folder that only this user sees. */
async function inTemporaryFile<T>(use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "internvl-video-"));
  try {
    return await use(join(folder, "video"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
