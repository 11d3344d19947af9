import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { MediaError } from "../../core/errors.ts";
import { openMedia } from "./media.ts";

const EIGHT = fileURLToPath(new URL("../../../test/fixtures/video/eight.gif", import.meta.url));
const VIDEO = fileURLToPath(new URL("../../../test/fixtures/video/h264.mp4", import.meta.url));
const { signal } = new AbortController();

test("a GIF of several frames is a video unless it is asked for as a picture; of one frame, the other way round", async () => {
  expect(await openMedia(EIGHT, { frames: 4 }, signal)).toMatchObject({
    path: EIGHT,
    part: { type: "video", frames: { length: 4 } },
    facts: "4 frames, the video has 8",
  });
  expect(await openMedia(EIGHT, { frames: 4 }, signal, "picture")).toMatchObject({ part: { type: "image" } });
  await using folder = await temporaryFolder();
  const still = join(folder.path, "still");
  await sharp({ create: { width: 9, height: 7, channels: 3, background: "red" } })
    .gif()
    .toFile(still);
  expect(await openMedia(still, { frames: 4 }, signal)).toMatchObject({
    part: { type: "image" },
    facts: "9×7",
  });
  expect(await openMedia(still, { frames: 2 }, signal, "video")).toMatchObject({
    facts: "2 frames, the video has 1",
  });
});

test("frames of a video file come from the part that is asked for", async () => {
  const all = await openMedia(VIDEO, { frames: 3 }, signal);
  const early = await openMedia(VIDEO, { frames: 3, to: 0.2 }, signal);
  expect(all.part).toMatchObject({ type: "video", frames: { length: 3 } });
  expect(early.part).not.toEqual(all.part);
  await expect(openMedia(VIDEO, { frames: 3, from: 500 }, signal)).rejects.toThrow(
    /h264\.mp4: frame sampling: .*choose a part inside the video/,
  );
});

test("what is neither is told with its name and what it is", async () => {
  await using folder = await temporaryFolder();
  const text = join(folder.path, "notes.png");
  await writeFile(text, "only words");
  const refused = openMedia(text, { frames: 1 }, signal);
  await expect(refused).rejects.toThrow(`${text}: expected a picture or a video, found a text file; pipe`);
  await expect(refused).rejects.toThrow(MediaError);
  await expect(openMedia(text, { frames: 1 }, signal, "video")).rejects.toThrow(
    /expected an MP4, WebM, Matroska or GIF video, found a text file; \/image takes pictures/,
  );
  await expect(openMedia(folder.path, { frames: 1 }, signal)).rejects.toThrow();
  const stopped = AbortSignal.abort(new Error("enough"));
  await expect(openMedia(text, { frames: 1 }, stopped)).rejects.toThrow("enough");
});
