import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import { FRAME_COUNTS, segmentFrames, uniformFrames } from "./frame-sampling.ts";

type Bounds = readonly [from: number | undefined, to: number | undefined] | undefined;
const none = undefined;

describe("segmentFrames", () => {
  // The README's expression, evaluated by Python 3.11 with numpy 2.4.6.
  test.each<[frames: number, fps: number, count: number, bounds: Bounds, first: number, expected: number[]]>([
    [300, 30, 8, none, 0, [18, 55, 93, 130, 168, 205, 242, 280]],
    [
      ...([301, 29.97002997002997, 16, none, 0] as const),
      [9, 28, 47, 65, 84, 103, 121, 140, 159, 178, 197, 215, 234, 253, 271, 290],
    ],
    // Segments of 5, of 2.5 and of less than one frame.
    [41, 25, 8, none, 0, [2, 7, 12, 17, 22, 27, 32, 37]],
    [5, 25, 8, none, 0, [0, 0, 1, 2, 2, 2, 3, 4]],
    [1, 1, 4, none, 0, [0, 0, 0, 0]],
    [10, 5, 8, none, 0, [0, 1, 2, 3, 4, 6, 7, 8]],
    // 0.1 s and 0.7 s at 25 frames per second are 2.5 and 17.5: halves go to the even frame, 2 and 18.
    [24, 25, 16, [0.1, 0.7], 0, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]],
    [21, 10, 8, [0.25, 1.85], 0, [3, 5, 7, 9, 11, 13, 15, 17]],
    [1000, 23.976, 8, [none, 12.5], 0, [18, 56, 93, 130, 168, 206, 243, 280]],
    [1000, 23.976, 8, [12.5, none], 0, [343, 430, 518, 605, 693, 780, 867, 955]],
    [61, 30, 8, none, 12, [15, 21, 27, 33, 39, 45, 51, 57]],
    [100, 30, 7, [0.5, 1.05], 0, [16, 18, 21, 23, 26, 28, 31]],
  ])("%d frames at %d, %d of them, bounds %j, from %d", (frames, fps, count, bounds, first, expected) => {
    const [fromS, toS] = bounds ?? [];
    expect(segmentFrames({ frames, fps }, count, { fromS, toS }, first)).toEqual(expected);
  });

  test("takes 32 frames where no number is given", () => {
    expect(FRAME_COUNTS).toEqual({ helper: 32, demo: 8, mvbench: 16 });
    expect(segmentFrames({ frames: 300, fps: 30 })).toEqual([
      ...[4, 13, 23, 32, 41, 51, 60, 69, 79, 88, 97, 107, 116, 125, 135, 144, 154, 163, 172, 182, 191],
      ...[200, 210, 219, 228, 238, 247, 256, 266, 275, 284, 294],
    ]);
  });

  test("never leaves the video and never goes back", () => {
    const whole = (max: number) => fc.integer({ min: 1, max });
    fc.assert(
      fc.property(whole(5000), whole(120), whole(200), (frames, fps, count) => {
        const found = segmentFrames({ frames, fps }, count);
        expect(found).toHaveLength(count);
        expect(found[0]).toBeGreaterThanOrEqual(0);
        expect(found.at(-1)).toBeLessThan(frames);
        expect(found.every((index, i) => i === 0 || index >= found[i - 1]!)).toBe(true);
      }),
    );
  });

  test.each<[what: string, run: () => unknown, message: RegExp]>([
    ["no frames", () => segmentFrames({ frames: 0, fps: 25 }), /found 0 frames at 25 per second/],
    ["no rate", () => segmentFrames({ frames: 9, fps: 0 }), /positive frame rate, found 9 frames at 0/],
    ["an endless rate", () => segmentFrames({ frames: 9, fps: 1 / 0 }), /at Infinity per second/],
    ["half a frame", () => segmentFrames({ frames: 9, fps: 25 }, 1.5), /whole number of frames.*found 1.5/],
    ["too many", () => segmentFrames({ frames: 9, fps: 25 }, 1e9), /from 1 to 65536, found 1000000000/],
    ["before", () => segmentFrames({ frames: 9, fps: 25 }, 1, { fromS: -1 }), /start in seconds.*found -1/],
    ["no number", () => segmentFrames({ frames: 9, fps: 25 }, 1, { toS: Number.NaN }), /end in.*found NaN/],
    ["backwards", () => segmentFrames({ frames: 90, fps: 9 }, 1, { fromS: 2, toS: 2 }), /found 2 s and 2 s/],
    [
      "after",
      () => segmentFrames({ frames: 50, fps: 25 }, 1, { fromS: 3 }),
      /50 \(2.00 s\), found.*75 to 49/,
    ],
    ["a first frame", () => segmentFrames({ frames: 9, fps: 25 }, 1, {}, 9), /from 0 to 8/],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(MediaError);
    expect(run).toThrow(message);
  });
});

describe("uniformFrames", () => {
  // torch.arange(total / N / 2, total, total / N).int() of PyTorch 2.13.
  test.each<[frames: number, count: number, expected: number[]]>([
    [300, 8, [18, 56, 93, 131, 168, 206, 243, 281]],
    [100, 7, [7, 21, 35, 50, 64, 78, 92]],
    [10, 3, [1, 5, 8]],
    [1, 1, [0]],
    // In double precision the fourth would be 5.999999999999999 and become 5.
    [12, 7, [0, 2, 4, 6, 7, 9, 11]],
    [18, 13, [0, 2, 3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 17]],
    [33, 32, Array.from({ length: 32 }, (_, i) => (i < 16 ? i : i + 1))],
    [
      431568,
      13,
      [
        ...[16598, 49796, 82993, 116191, 149388, 182586, 215784, 248981, 282179, 315376, 348574],
        ...[381771, 414969],
      ],
    ],
  ])("%d frames, %d of them", (frames, count, expected) => {
    expect(uniformFrames(frames, count)).toEqual(expected);
  });

  test("takes all frames of a video that has just enough", () => {
    expect(uniformFrames(24, 24)).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  test("refuses more frames than there are", () => {
    expect(() => uniformFrames(7, 8)).toThrow(MediaError);
    expect(() => uniformFrames(7, 8)).toThrow(/at most the video's 7 frames, found 8 asked for/);
  });
});
