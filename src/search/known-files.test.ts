import { expect, test } from "vitest";
import { KeySet, KnownFiles } from "./known-files.ts";

test("keys keep their numbers while the set grows", () => {
  const set = new KeySet();
  const key = (i: number): [number, number] => [Math.imul(i, 0x9e3779b9) >>> 0, i % 3];
  for (let i = 0; i < 5000; i++) expect(set.add(...key(i))).toBe(i);
  for (let i = 0; i < 5000; i++) {
    expect(set.find(...key(i))).toBe(i);
    expect(set.add(...key(i))).toBe(i);
  }
  expect(set.find(1, 77)).toBe(-1);
  expect(set.size).toBe(5000);
  // Keys that fall on the same place stay apart.
  const same = new KeySet();
  for (let i = 0; i < 100; i++) same.add(i, i);
  for (let i = 0; i < 100; i++) expect(same.find(i, i)).toBe(i);
});

test("files are known with size, time and failure; being seen is another matter", () => {
  const known = new KnownFiles();
  for (let i = 0; i < 3000; i++) known.set(`/p/${i}`, { size: i, mtimeMs: i + 0.25, failed: i % 7 === 0 });
  for (let i = 0; i < 3000; i++)
    expect(known.get(`/p/${i}`)).toEqual({ size: i, mtimeMs: i + 0.25, failed: i % 7 === 0 });
  expect(known.get("/p/none")).toBeUndefined();
  known.setSeen("/p/new", true);
  expect(known.get("/p/new")).toBeUndefined();
  expect([known.isSeen("/p/new"), known.isSeen("/p/1"), known.isSeen("/p/none")]).toEqual([
    true,
    false,
    false,
  ]);
  known.set("/p/new", { size: 0, mtimeMs: 0, failed: false });
  expect([known.get("/p/new")?.size, known.isSeen("/p/new")]).toEqual([0, true]);
  known.setSeen("/p/new", false);
  expect(known.isSeen("/p/new")).toBe(false);
});

test("contents are recognised by the beginning of their hash", () => {
  const known = new KnownFiles();
  known.addContent("00112233445566778899");
  expect(known.mayHaveContent("0011223344556677ffff")).toBe(true);
  expect(known.mayHaveContent("0011223344556678")).toBe(false);
});
