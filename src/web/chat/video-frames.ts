import { segmentFrames } from "../../vision/frame-sampling.ts";
import { AttachError } from "./failures.ts";
import { drawPicture } from "./shrink-picture.ts";
import type { KeptPicture } from "./turns.ts";

/** Shorter side, in pixels, of a frame: it becomes one tile of the model. */
const FRAME_SIDE = 448;

/** A browser that gets no further than this with a step is not going to. */
const STEP_MS = 15_000;

/** So long a frame that was found may take to be shown. Where it is the one on show already, the browser tells of none. */
const SHOWN_MS = 500;

/** Frames per second where the browser does not tell them. */
const USUAL_FPS = 30;

/**
 * So many frames of a video, chosen as the published demo does, read by the browser's own decoder. `onStep` is told
 * how many are there. Throws an AttachError for a file that this browser does not play, or the signal's reason.
 */
export async function sampleVideo(
  file: Blob,
  name: string,
  count: number,
  signal: AbortSignal,
  onStep: (done: number, total: number) => void,
): Promise<KeptPicture[]> {
  const url = URL.createObjectURL(file);
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  try {
    const unplayable = `${name} cannot be played by this browser. Choose an MP4 or WebM file.`;
    const opened = happens(video, "loadeddata", unplayable, signal);
    video.src = url;
    await opened;
    const durationS = await measureDuration(video, name, signal);
    const fps = (await measureFps(video, signal)) ?? USUAL_FPS;
    const frames = segmentFrames({ frames: Math.max(1, Math.round(durationS * fps)), fps }, count);
    const scale = Math.min(1, FRAME_SIDE / Math.min(video.videoWidth, video.videoHeight));
    const size = {
      width: Math.max(1, Math.round(video.videoWidth * scale)),
      height: Math.max(1, Math.round(video.videoHeight * scale)),
    };
    const pictures: KeptPicture[] = [];
    for (const [i, frame] of frames.entries()) {
      onStep(i, count);
      // The middle of the time for which the frame is shown.
      await seek(video, Math.min((frame + 0.5) / fps, durationS), name, signal);
      pictures.push(await drawPicture(video, size, `${name}, frame ${i + 1}`, false));
    }
    return pictures;
  } finally {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

/** Seconds. Recordings of a browser do not say how long they are: seeking beyond the end finds out. */
async function measureDuration(video: HTMLVideoElement, name: string, signal: AbortSignal): Promise<number> {
  if (video.duration === Number.POSITIVE_INFINITY) await seek(video, 1e7, name, signal);
  const durationS = video.duration;
  if (!(durationS > 0 && durationS < Number.POSITIVE_INFINITY) || video.videoWidth === 0)
    throw new AttachError(
      `${name} has no pictures in it, or does not say how long it is. Convert it to MP4.`,
    );
  return durationS;
}

/** Frames per second from the times of frames while it plays, unseen and unheard; undefined where they are not told. */
async function measureFps(video: HTMLVideoElement, signal: AbortSignal): Promise<number | undefined> {
  if (!("requestVideoFrameCallback" in video)) return undefined;
  const times: number[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, 1200);
    signal.addEventListener("abort", () => resolve());
    video.addEventListener("ended", () => resolve(), { once: true });
    const note = (_: number, { mediaTime }: VideoFrameCallbackMetadata) => {
      if (times.push(mediaTime) >= 16) resolve();
      else video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
    video.currentTime = 0;
    video.play().catch(() => resolve());
  });
  clearTimeout(timer);
  video.pause();
  signal.throwIfAborted();
  return fpsOf(times);
}

/** Frames per second from the times (seconds) at which frames are shown, some of which may be missing. */
export function fpsOf(times: readonly number[]): number | undefined {
  const steps = times.slice(1).map((time, i) => time - times[i]!);
  const shortest = Math.min(...steps.filter((step) => step > 1 / 250));
  const single = steps.filter((step) => step > 1 / 250 && step < 1.5 * shortest);
  if (single.length < 3) return undefined;
  return single.length / single.reduce((sum, step) => sum + step, 0);
}

async function seek(
  video: HTMLVideoElement,
  timeS: number,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const done = happens(video, "seeked", `${name} cannot be read to its end. Convert it to MP4.`, signal);
  const shown = nextFrame(video);
  video.currentTime = timeS;
  await done;
  await shown();
  signal.throwIfAborted();
}

/**
 * Watches for the frame that is shown next: a busy browser says that it has found a place before it draws from there.
 * The function that is returned waits for it, for {@link SHOWN_MS} at most.
 */
function nextFrame(video: HTMLVideoElement): () => Promise<void> {
  if (!("requestVideoFrameCallback" in video)) return async () => {};
  let watch = 0;
  const shown = new Promise<void>((resolve) => {
    watch = video.requestVideoFrameCallback(() => resolve());
  });
  return async () => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([shown, new Promise<void>((resolve) => (timer = setTimeout(resolve, SHOWN_MS)))]);
    clearTimeout(timer);
    video.cancelVideoFrameCallback(watch);
  };
}

function happens(
  video: HTMLVideoElement,
  event: "loadeddata" | "seeked",
  problem: string,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = new AbortController();
    const end = (finish: () => void) => () => {
      ended.abort();
      clearTimeout(timer);
      finish();
    };
    const fail = end(() => reject(new AttachError(problem)));
    const timer = setTimeout(fail, STEP_MS);
    video.addEventListener(event, end(resolve), { signal: ended.signal });
    video.addEventListener("error", fail, { signal: ended.signal });
    signal.addEventListener(
      "abort",
      end(() => reject(signal.reason)),
      { signal: ended.signal },
    );
  });
}
