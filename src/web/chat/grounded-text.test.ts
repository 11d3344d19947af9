import { expect, test } from "vitest";
import { mark, readGrounded, splitMarks } from "./grounded-text.ts";

test("things stand in the text as marks, and what is unfinished only once it is complete", () => {
  const text = "\uE000Here: <ref>cat</ref><box>[[0,0,10,10]]</box>, <box>[[1";
  const { markdown, things } = readGrounded(text, false);
  expect(markdown).toBe(`Here: ${mark(0)}, `);
  expect(things).toMatchObject([{ type: "boxes", label: "cat" }]);
  expect(readGrounded(text, true).markdown).toBe(`Here: ${mark(0)}, <box>[[1`);
  expect(splitMarks(`a${mark(12)}b`)).toEqual(["a", "12", "b"]);
});
