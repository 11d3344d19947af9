import { open } from "node:fs/promises";
import { MediaError } from "../../core/errors.ts";
import type { ContentPart } from "../../text/conversation.ts";
import { segmentFrames } from "../../vision/frame-sampling.ts";
import type { RgbImage } from "../../vision/image.ts";
import { loadPicture } from "../../vision/load-picture.node.ts";
import { sniffPicture } from "../../vision/sniff.ts";
import { sniffVideo } from "../../vision/sniff-video.ts";
import { openVideo, type Video } from "../../vision/video.node.ts";
import { visible } from "../terminal.ts";
import type { VideoChoice } from "./video-choice.ts";

/** A picture or video of a conversation. */
export interface Media {
  readonly path: string;
  readonly part: Exclude<ContentPart<RgbImage>, { type: "text" }>;
  /** "640×480", "8 frames, the video has 100". */
  readonly facts: string;
}

const HEAD_BYTES = 65_536;

/**
 * Reads a picture or a video, whichever its contents are. `as` "video" also takes an animated picture's frames: GIF is
 * both, and without a word a GIF of several frames is a video. Throws a MediaError that names the file.
 */
export async function openMedia(
  path: string,
  choice: VideoChoice,
  signal: AbortSignal,
  as?: "picture" | "video",
): Promise<Media> {
  signal.throwIfAborted();
  if (as === "picture") return picture(path);
  const head = await readHead(path);
  const video = sniffVideo(head);
  if ("found" in video) {
    if (as === "video")
      throw new MediaError(
        `${visible(path)}: expected an MP4, WebM, Matroska or GIF video, found ${video.found}; /image takes pictures`,
      );
    const sniffed = sniffPicture(head);
    if ("format" in sniffed) return picture(path);
    const hint = sniffed.found === "a text file" ? "pipe a text in, as in < notes.txt" : "convert the file";
    throw new MediaError(`${visible(path)}: expected a picture or a video, found ${sniffed.found}; ${hint}`);
  }
  await using opened = await openVideo(path, { signal });
  if (as === undefined && video.format === "gif" && opened.frames === 1) return picture(path);
  // Awaited here: the video closes when this function returns.
  return await frames(path, opened, choice, signal);
}

async function picture(path: string): Promise<Media> {
  const image = await loadPicture(path);
  return { path, part: { type: "image", image }, facts: `${image.width}×${image.height}` };
}

async function frames(path: string, video: Video, choice: VideoChoice, signal: AbortSignal): Promise<Media> {
  const { frames: count, from: fromS, to: toS } = choice;
  const indices = inFile(path, () => segmentFrames(video, count, { fromS, toS }));
  const images: RgbImage[] = [];
  for await (const { image } of video.readFrames(indices, { signal })) images.push(image);
  return {
    path,
    part: { type: "video", frames: images },
    facts: `${images.length} frames, the video has ${video.frames}`,
  };
}

/** What `choose` gives; its complaints name the file. */
function inFile<T>(path: string, choose: () => T): T {
  try {
    return choose();
  } catch (error) {
    if (error instanceof MediaError) throw new MediaError(`${visible(path)}: ${error.message}`);
    throw error;
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    if (!(await file.stat()).isFile())
      throw new MediaError(`${visible(path)}: expected a picture or a video, found no regular file`);
    const { bytesRead, buffer } = await file.read(new Uint8Array(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
