import { describe, expect, test } from "vitest";
import { Rng } from "../core/rng.ts";
import { augment, type ColourJitter, flipInPlace, jitterInPlace, randomCropBox } from "./augment.ts";
import { crop, resize } from "./resize.ts";

const picture = (width: number, height: number) => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 31) % 251),
});

test("boxes lie inside and keep to scale and ratio up to rounding", () => {
  const rng = new Rng("boxes");
  const areas: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const box = randomCropBox(400, 300, { scale: [0.5, 1] }, rng);
    expect(box.x + box.width).toBeLessThanOrEqual(400);
    expect(box.y + box.height).toBeLessThanOrEqual(300);
    expect(Math.min(box.x, box.y)).toBeGreaterThanOrEqual(0);
    expect(box.width / box.height).toBeGreaterThan(3 / 4 - 0.01);
    expect(box.width / box.height).toBeLessThan(4 / 3 + 0.01);
    areas.push((box.width * box.height) / (400 * 300));
  }
  expect(Math.min(...areas)).toBeGreaterThan(0.49);
  expect(Math.min(...areas)).toBeLessThan(0.52);
  expect(Math.max(...areas)).toBeGreaterThan(0.97);
});

test("the defaults of a linear probe reach an area of 0.08", () => {
  const rng = new Rng(1);
  const areas = Array.from({ length: 1000 }, () => {
    const { width, height } = randomCropBox(224, 224, { scale: [0.08, 1] }, rng);
    return (width * height) / 224 ** 2;
  });
  expect(Math.min(...areas)).toBeLessThan(0.1);
  expect(Math.min(...areas)).toBeGreaterThan(0.07);
});

test("a picture too long for any box gives its middle", () => {
  expect(randomCropBox(1000, 60, { scale: [0.5, 1] }, new Rng(3))).toEqual({
    x: 460,
    y: 0,
    width: 80,
    height: 60,
  });
  expect(randomCropBox(60, 1000, { scale: [0.5, 1] }, new Rng(3))).toEqual({
    x: 0,
    y: 460,
    width: 60,
    height: 80,
  });
  expect(randomCropBox(1, 900, { scale: [0.9, 1] }, new Rng(3))).toMatchObject({ width: 1, height: 1 });
  // Within the allowed ratios, but only the whole picture has an area of 1.
  expect(randomCropBox(401, 399, { scale: [1, 1], ratio: [0.9, 1.1] }, new Rng(0))).toEqual({
    x: 0,
    y: 0,
    width: 401,
    height: 399,
  });
});

test("flipping twice is nothing, once mirrors", () => {
  const p = picture(5, 2);
  const flipped = picture(5, 2);
  flipInPlace(flipped);
  expect(Array.from(flipped.data.subarray(0, 3))).toEqual(Array.from(p.data.subarray(12, 15)));
  expect(Array.from(flipped.data.subarray(6, 9))).toEqual(Array.from(p.data.subarray(6, 9)));
  flipInPlace(flipped);
  expect(flipped).toEqual(p);
});

test("a view is its box resized, flipped as often as asked, and leaves the picture alone", () => {
  const p = picture(40, 30);
  const before = p.data.slice();
  let flips = 0;
  for (let i = 0; i < 200; i++) {
    const view = augment(p, 8, { scale: [0.5, 1], flip: 0.25 }, new Rng(i));
    const box = randomCropBox(40, 30, { scale: [0.5, 1] }, new Rng(i));
    const plain = resize(crop(p, box), 8, 8);
    if (!Buffer.from(plain.data).equals(view.data)) {
      flips++;
      flipInPlace(view);
      expect(view).toEqual(plain);
    }
  }
  expect(flips).toBeGreaterThan(30);
  expect(flips).toBeLessThan(70);
  augment(p, 30, { scale: [1, 1], ratio: [1, 1], flip: 1 }, new Rng(0));
  expect(p.data).toEqual(before);
});

test("equal seeds make equal views", () => {
  const how = { scale: [0.5, 1], flip: 0.5 } as const;
  expect(augment(picture(50, 40), 16, how, new Rng("a"))).toEqual(
    augment(picture(50, 40), 16, how, new Rng("a")),
  );
  expect(augment(picture(50, 40), 16, how, new Rng("a"))).not.toEqual(
    augment(picture(50, 40), 16, how, new Rng("b")),
  );
});

describe("colours", () => {
  const red = () => ({ width: 2, height: 1, data: Uint8Array.from([200, 40, 40, 20, 20, 20]) });
  /** The extremes of a jitter over many draws, of one channel. */
  const range = (how: ColourJitter, channel: number) => {
    const seen = Array.from({ length: 400 }, (_, i) => {
      const p = red();
      jitterInPlace(p, how, new Rng(i));
      return p.data[channel]!;
    });
    return [Math.min(...seen), Math.max(...seen)] as const;
  };
  /** 400 draws come close to both ends. */
  const expectRange = (how: ColourJitter, channel: number, low: number, high: number) => {
    const [least, most] = range(how, channel);
    for (const [found, wanted] of [
      [least, low],
      [most, high],
    ] as const)
      expect(Math.abs(found - wanted)).toBeLessThan(4);
  };

  test("none asked for, none changed", () => {
    const p = red();
    jitterInPlace(p, {}, new Rng(0));
    expect(p).toEqual(red());
  });

  test("brightness multiplies, contrast pulls to the mean, saturation to the pixel's own grey", () => {
    // Grey of the red pixel: 0.299 · 200 + 0.701 · 40 = 87.84; mean of both: 53.92.
    expectRange({ brightness: 0.5 }, 0, 100, 255);
    expectRange({ contrast: 0.5 }, 0, 127, 255);
    expectRange({ contrast: 0.5 }, 3, 3, 37);
    expectRange({ saturation: 0.5 }, 0, 144, 255);
    expectRange({ saturation: 1 }, 3, 20, 20); // grey has no colour to change
  });

  test("as often grey as asked", () => {
    let grey = 0;
    for (let i = 0; i < 400; i++) {
      const p = red();
      jitterInPlace(p, { grayscale: 0.25 }, new Rng(i));
      const [r, g, b] = p.data;
      if (r === g && g === b) grey++;
      else expect(p).toEqual(red());
    }
    expect(grey).toBeGreaterThan(70);
    expect(grey).toBeLessThan(130);
  });

  test("a jittered view has the crop and flip of a plain one", () => {
    const how = { scale: [0.5, 1], flip: 0.5 } as const;
    const color = { brightness: 0.2, contrast: 0.2, saturation: 0.5, grayscale: 0.1 };
    const plain = augment(picture(50, 40), 16, how, new Rng("a"));
    expect(augment(picture(50, 40), 16, { ...how, color: {} }, new Rng("a"))).toEqual(plain);
    expect(augment(picture(50, 40), 16, { ...how, color }, new Rng("a"))).not.toEqual(plain);
  });
});
