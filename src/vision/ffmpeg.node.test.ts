import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";

afterEach(() => {
  vi.doUnmock("node-av/lib");
  vi.resetModules();
});

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../test/fixtures/video/${name}`, import.meta.url));

test("where FFmpeg's package is missing, only opening a video says so", async () => {
  vi.doMock("node-av/lib", () => {
    throw new Error("Cannot find package 'node-av'");
  });
  const { openVideo } = await import("./video.node.ts");
  await expect(openVideo(fixture("h264.mp4"))).rejects.toMatchObject({
    name: "MediaError",
    message: expect.stringMatching(
      /h264.mp4: expected the package node-av,.*run npm install node-av, or give/s,
    ),
  });
  // A GIF needs another library only.
  await using gif = await openVideo(fixture("eight.gif"));
  expect(gif.frames).toBe(8);
});
