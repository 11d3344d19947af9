import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import type { ChatMessages } from "../../infer/chat-model.ts";
import { plain } from "../../search/test-support.ts";
import type { RgbImage } from "../../vision/image.ts";
import { openVideo } from "../../vision/video.node.ts";
import { LIMITS } from "../limits.ts";
import { type TestLibrary, testApp, testLibrary } from "../test-support.ts";
import { type FakeChatModel, fakeChatModel } from "./fake-chat-model.test-support.ts";
import { frameCount } from "./videos.ts";

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../test/fixtures/video/${name}`, import.meta.url));
const URL_FIELD = "messages[0].content[0].video_url.url";

let library: TestLibrary;
let fake: FakeChatModel;
let temporary: Awaited<ReturnType<typeof temporaryFolder>>;
const { TMPDIR } = process.env;
beforeAll(async () => {
  temporary = await temporaryFolder();
  process.env.TMPDIR = temporary.path;
  library = await testLibrary({ colours: [] });
  fake = fakeChatModel();
});
afterAll(async () => {
  // What was written for the while is gone, whatever became of it.
  const left = await readdir(temporary.path);
  expect(left.filter((name) => name.startsWith("internvl-video-"))).toEqual([]);
  await library[Symbol.asyncDispose]();
  await temporary[Symbol.asyncDispose]();
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
});

const base64 = async (name: string) => (await readFile(fixture(name))).toString("base64");
/** The type says a picture: only the contents count. */
const dataUrl = async (name: string) => `data:image/png;base64,${await base64(name)}`;

type Options = NonNullable<Parameters<typeof testApp>[1]>;

async function ask(
  url: string,
  more: object = {},
  chat: Partial<typeof LIMITS.chat> = {},
  options: Options = {},
) {
  const app = testApp(library.library, {
    chatModels: new Map([["fake", fake]]),
    limits: { chat: { ...LIMITS.chat, ...chat } },
    ...options,
  });
  const content = [
    { type: "video_url", video_url: { url, ...more } },
    { type: "text", text: "What happens?" },
  ];
  const response = await app.request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "fake", messages: [{ role: "user", content }] }),
  });
  expect(app.defects).toEqual([]);
  const body = (await response.json()) as { error?: { param: string; message: string; code: string } };
  return { status: response.status, ...body };
}

/** The frames that the model was shown last. */
function frames(): readonly RgbImage[] {
  const [part] = (fake.calls.at(-1)!.messages as ChatMessages)[0]!.content;
  if (typeof part !== "object" || part.type !== "video") throw new Error("no video was shown");
  return part.frames;
}

async function framesAt(name: string, indices: readonly number[]): Promise<RgbImage[]> {
  await using video = await openVideo(fixture(name));
  const images: RgbImage[] = [];
  for await (const { image } of video.readFrames(indices)) images.push(image);
  return images;
}

test.each(["h264.mp4", "vp9.webm", "h265-10bit.mkv", "eight.gif"])(
  "%s is shown as the eight frames of the published demo",
  async (name) => {
    expect((await ask(await dataUrl(name))).status).toBe(200);
    // get_index of the InternVL README, by Python: 24 frames, and the GIF's 8.
    const indices = name.endsWith("gif") ? [0, 1, 2, 3, 4, 4, 5, 6] : [1, 4, 7, 10, 13, 15, 18, 21];
    expect(frames()).toEqual(await framesAt(name, indices));
  },
);

test("so many frames, so many a second, and a part of the video", async () => {
  const url = await dataUrl("h264.mp4");
  // 24 frames at 25 per second.
  const shown = async (more: object) => {
    expect((await ask(url, more)).status).toBe(200);
    return frames();
  };
  expect(await shown({ num_frames: 2 })).toEqual(await framesAt("h264.mp4", [5, 17]));
  expect(await shown({ fps: 2 })).toEqual(await framesAt("h264.mp4", [5, 17]));
  expect(await shown({ fps: 10, num_frames: 2 })).toEqual(await framesAt("h264.mp4", [5, 17]));
  expect(await shown({ num_frames: 1, video_start: 0.4, video_end: 0.8 })).toEqual(
    await framesAt("h264.mp4", [15]),
  );
  expect(await shown({ fps: null, num_frames: null, video_start: 0.4 })).toHaveLength(8);
});

test("frames a second are no more than there are, and at least one", () => {
  const video = { frames: 100, fps: 10 };
  expect(frameCount(video, { fps: 2 })).toBe(20);
  expect(frameCount(video, { fps: 30 })).toBe(100);
  expect(frameCount(video, { fps: 0.001 })).toBe(1);
  expect(frameCount(video, { fps: 1, video_start: 4, video_end: 100 })).toBe(6);
  expect(frameCount(video, { fps: 5, num_frames: 7 })).toBe(7);
  expect(frameCount(video, {})).toBe(8);
});

test("frames that the client took itself, with commas between them", async () => {
  const jpegs = await Promise.all(["red", "green", "blue"].map((colour) => plain(colour, 8, 6)));
  const url = `data:video/jpeg;base64,${jpegs.map((bytes) => bytes.toString("base64")).join(",")}`;
  expect((await ask(url)).status).toBe(200);
  expect(frames().map(({ width, height, data }) => [width, height, ...data.subarray(0, 3)])).toEqual([
    [8, 6, 255, 0, 0],
    [8, 6, 0, 255, 0],
    [8, 6, 0, 0, 255],
  ]);
  const broken = await ask(`${url},aGVsbG8=`);
  expect(broken).toMatchObject({ status: 400, error: { param: URL_FIELD, code: "invalid_image" } });
  expect(broken.error!.message).toMatch(/url: frame 4: .*found a text file/);
  expect((await ask(url, {}, { frames: 2 })).error!.message).toMatch(/at most 2 files .*, found more/);
});

test("a data URL of commas alone has too many files", async () => {
  const { status, error } = await ask(`data:;base64,${",".repeat(1_000_000)}`);
  expect([status, error!.param, error!.message]).toEqual([
    400,
    URL_FIELD,
    expect.stringMatching(/at most 256 files/),
  ]);
});

test("frames, seconds and memory are bounded", async () => {
  const url = await dataUrl("h264.mp4");
  expect(await ask(url, { num_frames: 21 }, { frames: 20 })).toMatchObject({
    status: 400,
    error: {
      param: "messages[0].content[0].video_url.num_frames",
      message: expect.stringMatching(/at most 20 frames .*, found 21/),
    },
  });
  expect(await ask(url, { fps: 25 }, { frames: 20 })).toMatchObject({
    status: 400,
    error: { param: "messages[0].content[0].video_url.fps" },
  });
  expect(await ask(url, {}, { videoSeconds: 0.5 })).toMatchObject({
    status: 413,
    error: { param: URL_FIELD, message: expect.stringMatching(/at most 0.5 seconds, found 1/) },
  });
  const eight = 8 * 96 * 64 * 3;
  expect((await ask(url, {}, { pictureBytes: eight })).status).toBe(200);
  expect(await ask(url, {}, { pictureBytes: eight - 1 })).toMatchObject({
    status: 413,
    error: { param: URL_FIELD },
  });
  // The same frame several times is one picture.
  expect((await ask(url, { num_frames: 100 }, { pictureBytes: 24 * 96 * 64 * 3 })).status).toBe(200);
  expect((await ask(url, {}, { framePixels: 48 * 32 })).status).toBe(200);
  expect(frames().map(({ width, height }) => [width, height])).toEqual(Array(8).fill([48, 32]));
  expect(await ask(url, {}, { videoMs: 0 })).toMatchObject({
    status: 400,
    error: { code: "invalid_video", message: expect.stringMatching(/within 0 ms/) },
  });
});

test("what is no video, or none that is read, is told without where it lay", async () => {
  const whole = await readFile(fixture("h264.mp4"));
  const cut = `data:video/mp4;base64,${whole.subarray(0, whole.length / 2).toString("base64")}`;
  for (const url of [cut, await dataUrl("mpeg4.mp4")]) {
    const { status, error } = await ask(url);
    expect([status, error!.param, error!.code]).toEqual([400, URL_FIELD, "invalid_video"]);
    expect(error!.message).not.toContain(temporary.path);
    expect(error!.message).toMatch(/url: expected /);
  }
  const late = await ask(await dataUrl("h264.mp4"), { video_start: 60 });
  expect(late).toMatchObject({ status: 400, error: { param: URL_FIELD } });
  expect(late.error!.message).toMatch(/choose a part inside the video/);
});

test("videos come from the hosts of the list, and no more of them than is allowed", async () => {
  const files = createServer(async (request, response) => {
    expect(request.headers.accept).toBe("video/*, image/gif");
    response.setHeader("content-type", "text/plain");
    response.end(await readFile(fixture(request.url!.slice(1))));
  });
  await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
  const { port } = files.address() as AddressInfo;
  const network = { resolve: async () => ["8.8.8.8"], connect: () => connect(port, "127.0.0.1") };
  const options = { remotePictures: { hosts: ["media.example"], network } };
  try {
    expect((await ask("http://media.example/vp9.webm", { num_frames: 2 }, {}, options)).status).toBe(200);
    expect(frames()).toEqual(await framesAt("vp9.webm", [5, 17]));
    expect(await ask("http://media.example/vp9.webm", {}, { videoBytes: 2000 }, options)).toMatchObject({
      status: 413,
      error: { param: URL_FIELD, message: expect.stringMatching(/the video has more than 2000 bytes/) },
    });
    expect((await ask("http://other.example/a.mp4", {}, {}, options)).error!.message).toMatch(
      /not on the list/,
    );
  } finally {
    files.close();
    files.closeAllConnections();
  }
});
