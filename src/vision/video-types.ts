import type { RgbImage } from "./image.ts";
import type { VideoFormat } from "./sniff-video.ts";

/** What a video is, known once it is open. */
export interface VideoInfo {
  readonly format: VideoFormat;
  /** Upright size in pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second, on average over the video. */
  readonly fps: number;
  /** Number of frames that can be shown. */
  readonly frames: number;
  /** In seconds, as the container says, its sound included; at least until the last frame begins. */
  readonly durationS: number;
}

/** One frame of a video. */
export interface VideoFrame {
  /** Its place in the order in which frames are shown, from 0. */
  readonly index: number;
  /** When it is shown, in seconds after the first frame. */
  readonly timeS: number;
  readonly image: RgbImage;
}

/** An open video of one format. Its users ask for one thing at a time. */
export interface VideoSource {
  readonly info: VideoInfo;
  /** When each frame is shown, in seconds after the first: ascending. */
  readonly timesS: Float64Array;
  /** Decodes frame `index`, upright and in full size. Fast where `index` does not go back. `check` throws to stop. */
  decode(index: number, check: () => void): Promise<RgbImage>;
  close(): Promise<void>;
}
