import { expect, test } from "vitest";
import { pictureProblem } from "./picture-input.ts";

test.each([
  [{ name: "cat.png", type: "image/png", size: 900 }, undefined],
  [{ name: "cat.unknown", type: "", size: 900 }, undefined],
  [{ name: "notes.txt", type: "text/plain", size: 900 }, /^notes\.txt is not a picture\. Choose a JPEG/],
  [
    { name: "wall.tiff", type: "image/tiff", size: 40e6 },
    /^wall\.tiff has 40 MB; pictures to search by may have 34 MB\. Choose a smaller copy\.$/,
  ],
])("%o", (file, problem) => {
  const found = pictureProblem(file, 32 * 2 ** 20);
  if (problem) expect(found).toMatch(problem);
  else expect(found).toBeUndefined();
});

test("any size may be tried while the server has not said what it takes", () => {
  expect(pictureProblem({ name: "wall.tiff", type: "image/tiff", size: 40e9 })).toBeUndefined();
});
