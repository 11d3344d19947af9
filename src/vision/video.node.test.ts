import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MediaError } from "../core/errors.ts";
import type { RgbImage } from "./image.ts";
import { resize } from "./resize.ts";
import { openVideo, type VideoOptions } from "./video.node.ts";
import type { VideoFrame } from "./video-types.ts";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/video/", import.meta.url));
const fixture = (name: string) => join(FIXTURES, name);

/** What FFmpeg 5.1's command line says and shows; see make_videos.py beside the videos. */
interface Expected {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly duration: number;
  readonly at: readonly number[];
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly rgb: readonly (readonly (readonly [number, number, number])[])[];
  readonly mean: readonly number[];
}
const EXPECTED = JSON.parse(await readFile(fixture("expected.json"), "utf8")) as Record<string, Expected>;

/** Where we and FFmpeg's command line differ: see the test of each. */
const OWN_WORDS: Record<string, { readonly fps?: number; readonly duration?: number }> = {
  "eight.gif": { fps: 8 },
  "h264-variable-rate.mp4": { duration: 11.96 },
};

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "video-"));
});
afterAll(() => rm(dir, { recursive: true }));

const range = (length: number) => Array.from({ length }, (_, i) => i);

async function collect(frames: AsyncIterable<VideoFrame>): Promise<VideoFrame[]> {
  const all: VideoFrame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}

async function read(name: string, indices: readonly number[]): Promise<VideoFrame[]> {
  await using video = await openVideo(fixture(name));
  return await collect(video.readFrames(indices));
}

const mean = ({ data }: RgbImage) => data.reduce((sum, v) => sum + v, 0) / data.length;

const pixel = ({ width, data }: RgbImage, x: number, y: number) =>
  data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3);

/** The number that an upright picture shows in the squares of its top edge. */
const shown = (image: RgbImage) =>
  range(6).reduce((n, i) => n * 2 + (pixel(image, i * 16 + 8, 8)[0]! > 128 ? 1 : 0), 0);

const UPRIGHT = Object.keys(EXPECTED).filter((name) => !name.startsWith("rotated"));

describe.each(Object.keys(EXPECTED))("%s", (name) => {
  const expected = EXPECTED[name]!;

  test("is described as FFmpeg does", async () => {
    await using video = await openVideo(fixture(name));
    const { width, height, frames } = expected;
    expect(video).toMatchObject({ width, height, frames });
    expect(video.fps).toBeCloseTo(OWN_WORDS[name]?.fps ?? expected.fps, 9);
    expect(video.durationS).toBeCloseTo(OWN_WORDS[name]?.duration ?? expected.duration, 6);
    expect(video.format).toBe(name.endsWith("gif") ? "gif" : /\.(webm|mkv)$/.test(name) ? "matroska" : "mp4");
  });

  test("has FFmpeg's colours, frame by frame", async () => {
    const all = await read(name, range(expected.frames));
    expect(all.map((f) => f.index)).toEqual(range(expected.frames));
    for (const [i, { image }] of all.entries()) {
      expect([image.width, image.height, image.data.length]).toEqual([
        ...[expected.width, expected.height],
        expected.width * expected.height * 3,
      ]);
      expect(Math.abs(mean(image) - expected.mean[i]!)).toBeLessThan(0.5);
    }
    const far = expected.at.flatMap((at, k) =>
      expected.points.flatMap(([x, y], p) =>
        Array.from(pixel(all[at]!.image, x, y), (v, c) => Math.abs(v - expected.rgb[k]![p]![c]!)),
      ),
    );
    expect(Math.max(...far)).toBeLessThanOrEqual(3);
  });
});

describe("frames are counted in the order of showing", () => {
  test.each(UPRIGHT)("%s, all of them", async (name) => {
    const all = await read(name, range(EXPECTED[name]!.frames));
    expect(all.map((f) => shown(f.image))).toEqual(range(EXPECTED[name]!.frames));
    expect(all.every((f, i) => i === 0 || f.timeS > all[i - 1]!.timeS)).toBe(true);
  });

  // Seeking to key frames must not change what comes out: B-frames, open groups, references across them.
  test.each(UPRIGHT)("%s, each by itself, from the last to the first", async (name) => {
    await using video = await openVideo(fixture(name));
    for (const index of range(video.frames).reverse()) {
      const [frame] = await collect(video.readFrames([index]));
      expect([frame!.index, shown(frame!.image)]).toEqual([index, index]);
    }
  });

  test.each(UPRIGHT)("%s, with leaps", async (name) => {
    const { frames } = EXPECTED[name]!;
    const some = [1, 2, 2, frames - 3, frames - 3, frames - 1];
    expect((await read(name, some)).map((f) => shown(f.image))).toEqual(some);
  });

  test("times follow a variable rate", async () => {
    const all = await read("h264-variable-rate.mp4", range(24));
    all.forEach((f, i) => {
      expect(f.timeS).toBeCloseTo((i * (i + 3)) / 2 / 25, 6);
    });
  });

  test("times of a GIF are its delays", async () => {
    const times = (await read("eight.gif", range(8))).map((f) => Math.round(f.timeS * 1000));
    expect(times).toEqual([0, 100, 200, 300, 600, 700, 800, 900]);
  });
});

test("quarter turns of the file are made, as decord makes them", async () => {
  const [stored] = await read("h264-bt709.mp4", [5]);
  const at = (x: number, y: number) => Array.from(pixel(stored!.image, x, y));
  const turned = async (name: string) => (await read(name, [5]))[0]!.image;
  const [quarter, half, back] = [
    await turned("rotated-90.mp4"),
    await turned("rotated-180.mp4"),
    await turned("rotated-270.mp4"),
  ];
  // Turned clockwise, the left upper corner comes to the right.
  for (const [x, y] of [
    [8, 24],
    [72, 40],
    [40, 56],
  ] as const) {
    expect(Array.from(pixel(quarter, 63 - y, x))).toEqual(at(x, y));
    expect(Array.from(pixel(half, 95 - x, 63 - y))).toEqual(at(x, y));
    expect(Array.from(pixel(back, y, 95 - x))).toEqual(at(x, y));
  }
});

describe("a target size", () => {
  test("is Pillow's resizing of the full frame", async () => {
    await using video = await openVideo(fixture("h264.mp4"));
    const [full] = await collect(video.readFrames([7]));
    const [small] = await collect(video.readFrames([7], { size: { width: 28, height: 30 } }));
    expect(small!.image).toEqual(resize(full!.image, 28, 30));
  });

  test("of large frames is made on another thread, within 12 grey levels at hard edges", async () => {
    await using video = await openVideo(fixture("h264-large.mp4"));
    const size = { width: 224, height: 224 };
    const [native] = await collect(video.readFrames([2], { size }));
    const [exact] = await collect(video.readFrames([2], { size, resample: "exact" }));
    const far = native!.image.data.map((v, i) => Math.abs(v - exact!.image.data[i]!));
    expect(native!.image.width).toBe(224);
    expect(far.reduce((a, b) => Math.max(a, b), 0)).toBeLessThanOrEqual(12);
    expect(mean({ width: 0, height: 0, data: far })).toBeLessThan(1);
  });
});

test("repeated frames are decoded once and share their picture", async () => {
  const [a, b, c] = await read("vp9.webm", [3, 3, 4]);
  expect(a!.image).toBe(b!.image);
  expect(c!.image).not.toBe(b!.image);
});

test("the name of the file does not matter", async () => {
  const path = join(dir, "holiday.txt");
  await copyFile(fixture("vp9.webm"), path);
  await using video = await openVideo(path);
  expect(video.format).toBe("matroska");
});

describe("refuses", () => {
  const refusal = async (path: string, message: RegExp, options?: VideoOptions) => {
    const opened = openVideo(path, options);
    await expect(opened).rejects.toThrow(MediaError);
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(path);
  };

  test.each<[what: string, contents: string | Buffer, message: RegExp]>([
    ["nothing", "", /expected an MP4, WebM, Matroska or GIF video, found an empty file/],
    ["text", "no video", /found a text file/],
    ["a playlist, which would name other files", "#EXTM3U\n#EXTINF:1\nother.mp4\n", /found a text file/],
    ["a page", "<!doctype html><title>404</title>", /found an HTML page/],
    ["a picture", Buffer.from("\x89PNG\r\n\x1a\n0000", "latin1"), /found a PNG picture/],
    ["an AVIF picture", Buffer.from("\0\0\0\x14ftypavif\0\0\0\0avif", "latin1"), /found a AVIF picture/],
    ["only a head of MP4", Buffer.from("\0\0\0\x14ftypisom\0\0\0\0isom", "latin1"), /no readable index/],
    ["only a head of Matroska", Buffer.from("1a45dfa380", "hex"), /expected a complete video/],
    ["only a head of GIF", "GIF89a;", /expected a complete GIF/],
  ])("%s", async (_, contents, message) => {
    const path = join(dir, "what.mp4");
    await writeFile(path, contents);
    await refusal(path, message);
  });

  test("what is no file", async () => {
    await refusal(dir, /found a folder/);
    await refusal(join(dir, "missing.mp4"), /ENOENT.*check the path/);
    await refusal("/dev/zero", /found a device or pipe/);
  });

  test("sound without pictures, and other codecs", async () => {
    await refusal(fixture("sound.mp4"), /expected a video with pictures, found sound or data only/);
    await refusal(fixture("mpeg4.mp4"), /expected H.264, H.265, VP8, VP9 or AV1, found mpeg4/);
  });

  test.each([
    ["h264.mp4", 0.5],
    ["h264-bt709.mp4", 0.9],
    ["h264-bt709.mp4", 0.3],
    ["h264-open-gop.mkv", 0.7],
    ["h265-10bit.mkv", 0.99],
    ["vp9.webm", 0.5],
    ["av1.mp4", 0.9],
    ["eight.gif", 0.6],
  ])("%s when it was cut off at %d of its length", async (name, part) => {
    const bytes = await readFile(fixture(name));
    const path = join(dir, name);
    await writeFile(path, bytes.subarray(0, Math.floor(bytes.length * part)));
    await refusal(path, /cut off|complete video, found (no readable index|only \d+ of the 24 frames)/);
  });

  test("damage in a frame, when that frame is asked for", async () => {
    const bytes = await readFile(fixture("h264-bt709.mp4"));
    // The last key frame's picture data; the index before it stays whole.
    const media = bytes.indexOf("mdat");
    const path = join(dir, "damaged.mp4");
    await writeFile(path, bytes.fill(0xff, media + 4));
    await using video = await openVideo(path);
    expect(video.frames).toBe(24);
    const reading = collect(video.readFrames([20]));
    await expect(reading).rejects.toThrow(MediaError);
    await expect(reading).rejects.toThrow(/damaged.mp4: expected a complete video, found a frame/);
  });

  test("what is over a limit", async () => {
    const path = fixture("h264.mp4");
    await refusal(path, /at most 6143 pixels a frame, found 96×64 = 6144/, { maxPixels: 96 * 64 - 1 });
    await refusal(path, /at most 23 frames, found more/, { maxFrames: 23 });
    await refusal(path, /at most 1000 bytes, found \d+/, { maxBytes: 1000 });
    await refusal(path, /within 0 ms/, { timeoutMs: 0 });
    await refusal(fixture("eight.gif"), /100 pixels a frame and \d+ frames, found 96×64 and 8/, {
      maxPixels: 100,
    });
    await using video = await openVideo(path, { maxPixels: 96 * 64, maxFrames: 24 });
    expect(video.frames).toBe(24);
  });

  test("frames that there are not, or in another order", async () => {
    await using video = await openVideo(fixture("h264.mp4"));
    await expect(collect(video.readFrames([24]))).rejects.toThrow(/expected frames from 0 to 23, found 24/);
    await expect(collect(video.readFrames([0.5]))).rejects.toThrow(/found 0.5/);
    await expect(collect(video.readFrames([-1]))).rejects.toThrow(/found -1/);
    await expect(collect(video.readFrames([5, 4]))).rejects.toThrow(/ascending frames, found 4 after 5/);
    expect(await collect(video.readFrames([]))).toEqual([]);
  });
});

describe("stopping", () => {
  const stop = new Error("enough");

  test("before opening and before reading", async () => {
    const signal = AbortSignal.abort(stop);
    await expect(openVideo(fixture("h264.mp4"), { signal })).rejects.toBe(stop);
    await using video = await openVideo(fixture("h264.mp4"));
    await expect(collect(video.readFrames([0], { signal }))).rejects.toBe(stop);
  });

  test("between frames; then it can be read again", async () => {
    await using video = await openVideo(fixture("h264.mp4"));
    const controller = new AbortController();
    const seen: number[] = [];
    const reading = async () => {
      for await (const { index } of video.readFrames(range(24), { signal: controller.signal })) {
        seen.push(index);
        if (index === 3) controller.abort(stop);
      }
    };
    await expect(reading()).rejects.toBe(stop);
    expect(seen).toEqual([0, 1, 2, 3]);
    const [again] = await collect(video.readFrames([2]));
    expect(shown(again!.image)).toBe(2);
  });

  test("while a frame is being decoded", async () => {
    await using video = await openVideo(fixture("h264.mp4"));
    const controller = new AbortController();
    const reading = collect(video.readFrames([23], { signal: controller.signal }));
    setImmediate(() => controller.abort(stop));
    await expect(reading).rejects.toBe(stop);
  });

  test("leaving the loop lets the next reader in; two at a time are refused", async () => {
    await using video = await openVideo(fixture("h264.mp4"));
    for await (const { index } of video.readFrames([1, 2, 3])) {
      await expect(collect(video.readFrames([0]))).rejects.toThrow(/nobody else reads, found it being read/);
      if (index === 2) break;
    }
    expect(await collect(video.readFrames([0]))).toHaveLength(1);
  });

  test("closing waits for the native work and ends the reading", async () => {
    const video = await openVideo(fixture("h264.mp4"));
    const reading = collect(video.readFrames(range(24)));
    const outcome = expect(reading).rejects.toThrow(/found it closed/);
    await new Promise((resolve) => setImmediate(resolve));
    await video[Symbol.asyncDispose]();
    await outcome;
    await video[Symbol.asyncDispose]();
    await expect(collect(video.readFrames([0]))).rejects.toThrow(/found it closed; open it again/);
  });
});
