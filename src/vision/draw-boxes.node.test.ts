import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { MediaError, UsageError } from "../core/errors.ts";
import { decodeImage } from "./decode.node.ts";
import { drawBoxes, type LabelledBox } from "./draw-boxes.node.ts";
import type { RgbImage } from "./image.ts";

const GREY = [90, 91, 92];
const VERMILION = [0xd5, 0x5e, 0x00];
const SKY = [0x56, 0xb4, 0xe9];
const YELLOW = [0xf0, 0xe4, 0x42];

function plain(width: number, height: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => GREY[i % 3]!);
  return { width, height, data };
}

const pixel = ({ width, data }: RgbImage, x: number, y: number) =>
  Array.from(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3));

const draw = async (image: RgbImage, boxes: readonly LabelledBox[]) =>
  decodeImage(await drawBoxes(image, boxes));

/** Where a row or column of pixels has the colour. */
const places = (image: RgbImage, colour: readonly number[], along: "x" | "y", at: number): number[] =>
  Array.from({ length: along === "x" ? image.width : image.height }, (_, i) => i).filter(
    (i) => String(along === "x" ? pixel(image, i, at) : pixel(image, at, i)) === String(colour),
  );

describe("frames", () => {
  test("lie on the edges, two pixels wide on a small picture; the rest is untouched", async () => {
    const image = await draw(plain(200, 160), [{ label: "", box: [40, 50, 120, 100] }]);
    expect([image.width, image.height]).toEqual([200, 160]);
    expect(places(image, VERMILION, "x", 75)).toEqual([39, 40, 119, 120]);
    expect(places(image, VERMILION, "y", 80)).toEqual([49, 50, 99, 100]);
    const others = Array.from({ length: 200 * 160 }, (_, i) => pixel(image, i % 200, Math.floor(i / 200)))
      .map(String)
      .filter((p) => p !== String(VERMILION));
    expect(new Set(others)).toEqual(new Set([String(GREY)]));
    expect(200 * 160 - others.length).toBe(82 * 52 - 78 * 48);
  });

  test("are wider on a larger picture", async () => {
    const image = await draw(plain(1200, 800), [{ label: "", box: [200, 250, 600, 500] }]);
    // Shorter side / 400 = 2 pixels on either side of the edge.
    expect(places(image, VERMILION, "x", 350)).toEqual([198, 199, 200, 201, 598, 599, 600, 601]);
  });

  test("are cut off at the picture's edge, and lines and points are seen", async () => {
    const image = await draw(plain(100, 80), [
      { label: "", box: [-50, -1e9, 60, 40] },
      { label: "", box: [80, 10, 80, 70] },
    ]);
    expect(places(image, VERMILION, "x", 20)).toEqual([0, 59, 60, 79, 80]);
  });
});

describe("labels", () => {
  test("one label has one colour, others have others", async () => {
    const box = (label: string, x: number): LabelledBox => ({ label, box: [x, 60, x + 30, 90] });
    const image = await draw(plain(400, 160), [box("a", 20), box("b", 120), box("a", 220), box("c", 320)]);
    expect([20, 120, 220, 320].map((x) => pixel(image, x, 75))).toEqual([VERMILION, SKY, VERMILION, YELLOW]);
  });

  /** The plate of one label: pixels of its colour in the row of its upper edge. */
  const plate = async (label: string, y1 = 60) => {
    const image = await draw(plain(400, 160), [{ label, box: [100, y1, 101, 150] }]);
    return { image, top: (row: number) => places(image, VERMILION, "x", row) };
  };

  test("stand above the box, or in it where there is no room above", async () => {
    // The font has 11 pixels, the plate 15 in height; it ends where the line begins, at 59.
    const { top } = await plate("cat");
    expect(top(43)).toEqual([]);
    expect(top(44)[0]).toBe(99);
    expect(top(44).length).toBeGreaterThan(20);
    const inside = await plate("cat", 10);
    expect(inside.top(8)).toEqual([]);
    expect(inside.top(9).length).toBeGreaterThan(20);
  });

  test("a longer text has a wider plate, which does not leave the picture", async () => {
    const widths = await Promise.all(
      ["i", "a cat", "a cat and a dog", "x".repeat(5000)].map(async (l) => (await plate(l)).top(44)),
    );
    expect(widths.map((w) => w.length)).toEqual(widths.map((w) => w.length).sort((a, b) => a - b));
    expect(new Set(widths.map((w) => w.length)).size).toBe(4);
    expect([widths[2]![0], widths[3]![0]]).toEqual([99, 0]);
  });

  test("are text, whatever they contain", async () => {
    const evil = `</text></svg><rect width="400" height="160" fill="#ff0000"/>&amp;"'\u0000\ud800`;
    const { image, top } = await plate(evil);
    expect(top(44).length).toBeGreaterThan(100);
    expect(pixel(image, 10, 10)).toEqual(GREY);
    expect(pixel(image, 390, 150)).toEqual(GREY);
    // Blanks only: no plate.
    expect((await plate(" \n\t ")).top(44)).toEqual([]);
  });
});

test("PNG is exact, JPEG is near; both keep the size", async () => {
  const boxes: LabelledBox[] = [{ label: "x", box: [40, 50, 120, 100] }];
  const png = await drawBoxes(plain(200, 160), boxes);
  const jpeg = await drawBoxes(plain(200, 160), boxes, { format: "jpeg" });
  const [a, b] = await Promise.all([sharp(png).metadata(), sharp(jpeg).metadata()]);
  expect([a.format, a.width, a.height, a.channels]).toEqual(["png", 200, 160, 3]);
  expect([b.format, b.width, b.height]).toEqual(["jpeg", 200, 160]);
  const near = pixel(await decodeImage(jpeg), 180, 140);
  expect(Math.max(...near.map((v, i) => Math.abs(v - GREY[i]!)))).toBeLessThanOrEqual(3);
});

test("no boxes: the picture itself", async () => {
  const image = plain(30, 20);
  expect(await draw(image, [])).toEqual(image);
});

test.each<[string, LabelledBox["box"], RegExp]>([
  ["a missing number", [0, Number.NaN, 5, 5], /box 0 is \[0, NaN, 5, 5\]/],
  ["endless", [0, 0, Number.POSITIVE_INFINITY, 5], /Infinity/],
  ["turned round", [9, 0, 5, 5], /x1 <= x2/],
  ["upside down", [0, 9, 5, 5], /y1 <= y2/],
])("refuses %s", async (_, box, message) => {
  const drawn = drawBoxes(plain(20, 20), [{ label: "a", box }]);
  await expect(drawn).rejects.toThrow(UsageError);
  await expect(drawn).rejects.toThrow(message);
});

test("refuses boxes without end, and a picture too long for the drawing library", async () => {
  const box: LabelledBox = { label: "a", box: [0, 0, 5, 5] };
  await expect(drawBoxes(plain(20, 20), new Array<LabelledBox>(1001).fill(box))).rejects.toThrow(UsageError);
  await expect(drawBoxes(plain(40_000, 1), [box])).rejects.toThrow(MediaError);
  await expect(drawBoxes(plain(32_767, 1), [box])).resolves.toBeInstanceOf(Uint8Array);
});
