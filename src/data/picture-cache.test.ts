import { expect, test } from "vitest";
import { makeCacheMemory, PictureCache } from "./picture-cache.ts";

const picture = (width: number, height: number, start: number) => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (start + i) % 256),
});

test("gives back what was put in, also through another view of the memory", () => {
  const memory = makeCacheMemory(3, 10_000);
  const cache = new PictureCache(memory);
  expect(cache.get(1)).toBeUndefined();
  cache.put(1, picture(7, 5, 3));
  cache.put(0, picture(4, 9, 200));
  const other = new PictureCache(memory);
  expect(other.get(1)).toEqual(picture(7, 5, 3));
  expect(other.get(0)).toEqual(picture(4, 9, 200));
  expect(other.get(2)).toBeUndefined();
});

test("never takes more than its memory, and keeps what it has", () => {
  const cache = new PictureCache(makeCacheMemory(10, 1000));
  for (let i = 0; i < 10; i++) cache.put(i, picture(10, 10, i)); // 300 bytes each
  expect(cache.usedBytes).toBeLessThanOrEqual(1024);
  expect(cache.get(0)).toEqual(picture(10, 10, 0));
  expect(cache.get(9)).toBeUndefined();
  const none = new PictureCache(makeCacheMemory(1, 0));
  none.put(0, picture(1, 1, 0));
  expect(none.get(0)).toBeUndefined();
});

test("the first writer wins, broken stays broken", () => {
  const cache = new PictureCache(makeCacheMemory(2, 1000));
  cache.put(0, picture(2, 2, 1));
  cache.put(0, picture(3, 3, 9));
  expect(cache.get(0)).toEqual(picture(2, 2, 1));
  cache.markBroken(1);
  cache.put(1, picture(2, 2, 1));
  expect(cache.get(1)).toBe("broken");
});
