import { MediaError } from "../core/errors.ts";
import { roundHalfEven } from "./framing.ts";

/** How many frames the published code takes of a video where nothing else is asked for. */
export const FRAME_COUNTS = { helper: 32, demo: 8, mvbench: 16 } as const;

/** What the sampling needs to know of a video. */
export interface SampledVideo {
  /** Frames in all. */
  readonly frames: number;
  /** Frames per second, on average. */
  readonly fps: number;
}

/** A part of a video, in seconds from its start; a bound that is left out is the video's own. */
export interface TimeBounds {
  readonly fromS?: number | undefined;
  readonly toS?: number | undefined;
}

/** More frames than any model reads; keeps a wrong number from filling the memory. */
const MAX_COUNT = 65_536;

/** What the published code puts in the place of a missing bound, in seconds: before and after any video. */
const UNBOUNDED_S = 100_000;

/**
 * The frames of a video that the published chat helper shows to the model: the middles of `count` equal segments
 * (InternVL README, `get_index`). Ascending; short videos repeat frames, and the last index may be the last frame.
 * `first` is the first frame that may be taken. Rounds as Python does: halves to the even integer, then truncates.
 *
 * Throws a MediaError for counts and bounds that are no numbers, are out of order, or lie outside the video.
 */
export function segmentFrames(
  video: SampledVideo,
  count: number = FRAME_COUNTS.helper,
  bounds: TimeBounds = {},
  first = 0,
): number[] {
  checkVideo(video);
  checkCount(count);
  checkBounds(bounds);
  const { frames, fps } = video;
  if (!Number.isSafeInteger(first) || first < 0 || first >= frames)
    throw new MediaError(
      `frame sampling: expected the first frame to be one of the video's ${frames}, found ${first}; give a whole number from 0 to ${frames - 1}`,
    );
  const start = Math.max(first, roundHalfEven((bounds.fromS ?? -UNBOUNDED_S) * fps));
  const end = Math.min(roundHalfEven((bounds.toS ?? UNBOUNDED_S) * fps), frames - 1);
  if (start > end)
    throw new MediaError(
      `frame sampling: expected bounds that hold a frame of the ${frames} (${(frames / fps).toFixed(2)} s), found frames ${start} to ${end}; choose a part inside the video`,
    );
  const segment = (end - start) / count;
  return Array.from({ length: count }, (_, i) =>
    Math.trunc(start + segment / 2 + roundHalfEven(segment * i)),
  );
}

/**
 * The frames that the Hugging Face processor takes: `count` of them, each in the middle of its share of the video
 * (`sample_frames` of its video processor: torch's `arange` in single precision, truncated).
 *
 * Throws a MediaError when more frames are asked for than there are, as the processor does.
 */
export function uniformFrames(frames: number, count: number): number[] {
  checkVideo({ frames, fps: 1 });
  checkCount(count);
  if (count > frames)
    throw new MediaError(
      `frame sampling: expected at most the video's ${frames} frames, found ${count} asked for; take fewer`,
    );
  const step = frames / count;
  // torch computes each value in double precision and keeps it as a float32, which can lift it to the next integer.
  return Array.from({ length: count }, (_, i) => Math.trunc(Math.fround(step / 2 + step * i)));
}

function checkVideo({ frames, fps }: SampledVideo): void {
  if (!Number.isSafeInteger(frames) || frames < 1 || !(fps > 0 && fps < Number.POSITIVE_INFINITY))
    throw new MediaError(
      `frame sampling: expected a video with frames and a positive frame rate, found ${frames} frames at ${fps} per second; check the video`,
    );
}

function checkCount(count: number): void {
  if (!Number.isSafeInteger(count) || count < 1 || count > MAX_COUNT)
    throw new MediaError(
      `frame sampling: expected a whole number of frames from 1 to ${MAX_COUNT}, found ${count}; choose another`,
    );
}

function checkBounds({ fromS, toS }: TimeBounds): void {
  for (const [name, value] of [
    ["start", fromS],
    ["end", toS],
  ] as const)
    if (value !== undefined && !(value >= 0 && value <= UNBOUNDED_S))
      throw new MediaError(
        `frame sampling: expected the ${name} in seconds, from 0 to ${UNBOUNDED_S}, found ${value}; give the time from the video's start`,
      );
  if (fromS !== undefined && toS !== undefined && fromS >= toS)
    throw new MediaError(
      `frame sampling: expected a start before the end, found ${fromS} s and ${toS} s; exchange them`,
    );
}
