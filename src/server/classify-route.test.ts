import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { TWO_LABELS } from "../eval/zero-shot-classifier.ts";
import { put } from "../search/test-support.ts";
import { pictureId } from "./context.ts";
import { LIMITS } from "./limits.ts";
import { type TestLibrary, testApp, testLibrary } from "./test-support.ts";

async function classify(library: TestLibrary, names: readonly string[], labels = ["red", "blue"]) {
  const app = testApp(library.library);
  const ids = names.map((name) => pictureId(join(library.pictures, name)));
  const response = await app.request("/api/classify", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ids, labels }),
  });
  expect(app.defects).toEqual([]);
  return { status: response.status, body: await response.json() };
}

test("a picture that cannot be read any more says so in its place, and the others are answered", async () => {
  await using library = await testLibrary({ colours: ["red", "green", "blue"] });
  await writeFile(join(library.pictures, "green.png"), "no picture");
  expect(await classify(library, ["red.png", "green.png", "blue.png"])).toMatchObject({
    status: 200,
    body: {
      results: [
        { path: join(library.pictures, "red.png"), labels: [{ label: "red" }, { label: "blue" }] },
        {
          path: join(library.pictures, "green.png"),
          labels: [],
          error: expect.stringMatching(/green\.png: expected a JPEG/),
        },
        { path: join(library.pictures, "blue.png"), labels: [{ label: "blue" }, { label: "red" }] },
      ],
    },
  });
  expect(await classify(library, ["green.png"])).toMatchObject({
    status: 422,
    body: { error: { type: "unreadable_picture" } },
  });
});

test("a single label is refused in the words of the command line", async () => {
  await using library = await testLibrary({ colours: ["red"] });
  expect(await classify(library, ["red.png"], ["red"])).toMatchObject({
    status: 400,
    body: { error: { message: `POST /api/classify: labels: ${TWO_LABELS}` } },
  });
});

test("a picture indexed with a higher limit has its thumbnail and can be classified", async () => {
  await using library = await testLibrary({ colours: [] });
  const [width, height] = [8_100, 8_000];
  expect(width * height).toBeGreaterThan(LIMITS.uploadPixels);
  const large = sharp({ create: { width, height, channels: 3, background: "#f00" } });
  await put(library.pictures, { "large.png": await large.png({ compressionLevel: 1 }).toBuffer() });
  await library.library.index.update(library.pictures, { limits: { maxPixels: 1e8 } });
  const id = pictureId(join(library.pictures, "large.png"));
  const thumb = await testApp(library.library).request(`/api/thumb?id=${id}`);
  expect([thumb.status, thumb.headers.get("content-type")]).toEqual([200, "image/webp"]);
  expect(await classify(library, ["large.png"])).toMatchObject({
    status: 200,
    body: { results: [{ labels: [{ label: "red" }, {}] }] },
  });
});
