import { expect, test } from "vitest";
import { splitWords } from "./arguments.ts";
import { videoArguments } from "./video-choice.ts";

const read = (line: string, usual = { frames: 8, from: 1 }) =>
  videoArguments("/video", splitWords(line, undefined), usual);

test("a command says which frames of its video are shown, or leaves it at what is usual", () => {
  expect(read("a.mp4")).toEqual({ files: ["a.mp4"], choice: { frames: 8, from: 1 } });
  expect(read('--frames 2 "a b.mp4"')).toEqual({ files: ["a b.mp4"], choice: { frames: 2, from: 1 } });
  expect(read("a.mp4 --from 2.5 --to=9")).toEqual({
    files: ["a.mp4"],
    choice: { frames: 8, from: 2.5, to: 9 },
  });
  // The usual beginning is not that of another end.
  expect(read("a.mp4 --to 0.5")).toEqual({ files: ["a.mp4"], choice: { frames: 8, to: 0.5 } });
  expect(read("a.mp4 b.mp4").files).toHaveLength(2);
});

test.each([
  ["a.mp4 --frames", /^\/video: .*--frames/],
  ["a.mp4 --frames 0", /^\/video --frames: Expected a whole number from 1/],
  ["a.mp4 --from soon", /^\/video --from: Expected a number from 0/],
  ["a.mp4 --from 3 --to 3", /^\/video: expected --from before --to, found 3 and 3/],
  ["a.mp4 --fps 3", /^\/video: .*--fps/],
])("%s is a mistake", (line, message) => {
  expect(() => read(line)).toThrow(message);
});
