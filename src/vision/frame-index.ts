import { MediaError } from "../core/errors.ts";

/** When a packet is shown (`pts`) and decoded (`dts`), in the stream's units, and whether decoding can begin there. */
export interface PacketTimes {
  readonly pts: number;
  readonly dts: number;
  readonly key: boolean;
}

/** The frames of a video in the order in which they are shown. */
export interface FrameIndex {
  /** Ascending, in the stream's units. */
  readonly pts: Float64Array;
  /** The same in seconds after the first. */
  readonly timesS: Float64Array;
  /** Where decoding begins at the latest for the very first frame. */
  readonly firstDts: number;
  /** The last frame not after `pts` from which decoding can begin; else the first frame. */
  keyBefore(pts: number): PacketTimes;
}

/** Orders packets (at least one, in the order of the file) by the time at which they are shown. `unitS`: seconds. */
export function indexPackets(name: string, packets: readonly PacketTimes[], unitS: number): FrameIndex {
  const shown = [...packets].sort((a, b) => a.pts - b.pts);
  const first = shown[0]!;
  if (!(unitS > 0 && unitS < Number.POSITIVE_INFINITY))
    throw new MediaError(
      `${name}: expected times in seconds, found ${packets.length} frames in units of ${unitS} s; convert the video again`,
    );
  // Frames shown before a key frame but stored after it (open groups) need what came earlier: by time of showing,
  // they belong to the key frame before.
  const keys = shown.filter((p) => p.key);
  return {
    pts: Float64Array.from(shown, (p) => p.pts),
    timesS: Float64Array.from(shown, (p) => (p.pts - first.pts) * unitS),
    firstDts: packets.reduce((least, { dts }) => Math.min(least, dts), Number.POSITIVE_INFINITY),
    keyBefore: (pts) => lastNotAfter(keys, pts) ?? { ...first, dts: packets[0]!.dts },
  };
}

/** By bisection in what is sorted by `pts`. */
function lastNotAfter(sorted: readonly PacketTimes[], pts: number): PacketTimes | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.pts <= pts) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
