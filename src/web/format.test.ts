import { expect, test } from "vitest";
import {
  fileName,
  formatBytes,
  formatPercent,
  formatPlural,
  formatRemaining,
  spokenName,
  stemName,
} from "./format.ts";

test("numbers are written for people", () => {
  expect(formatPlural(1, "picture")).toBe("1 picture");
  expect(formatPlural(12345, "picture")).toBe("12,345 pictures");
  expect(formatBytes(999)).toBe("999 bytes");
  expect(formatBytes(1234)).toBe("1.2 kB");
  expect(formatBytes(56_789_000)).toBe("57 MB");
  expect(formatRemaining(2)).toBe("a few seconds left");
  expect(formatRemaining(61)).toBe("about 60 s left");
  expect(formatRemaining(600)).toBe("about 10 min left");
  expect(formatPercent(0.0001)).toBe("< 0.1 %");
  expect(formatPercent(0.25)).toBe("25.0 %");
});

test("file names become words", () => {
  expect(fileName("C:\\Pictures\\a.png")).toBe("a.png");
  expect(spokenName("/p/red-apple_2.webp")).toBe("red apple 2");
  expect(spokenName("/p/.png")).toBe("png");
  expect(stemName("/p/a.b.jpeg")).toBe("a.b");
  expect(stemName("/p/.png")).toBe(".png");
});
