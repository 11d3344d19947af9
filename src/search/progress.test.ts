import { expect, test } from "vitest";
import { type Progress, ProgressMeter } from "./progress.ts";

test("rate and remaining time come from the last seconds; reports are spaced", () => {
  let now = 0;
  const seen: Progress[] = [];
  const meter = new ProgressMeter(
    (p) => seen.push(p),
    () => now,
  );
  meter.start("scan");
  meter.step(5, "/a");
  expect(seen).toHaveLength(1);
  expect(seen[0]).toMatchObject({ phase: "scan", total: undefined, etaSeconds: undefined, ratePerSecond: 0 });

  meter.start("embed", 10_000);
  const second = () => {
    now += 1000;
    return seen.at(-1)!;
  };
  for (let i = 0; i < 60; i++, second()) meter.step(10, "/b");
  for (let i = 0; i < 60; i++, second()) meter.step(100, "/c");
  const last = seen.at(-1)!;
  expect(last).toMatchObject({ phase: "embed", done: 6600, total: 10_000, currentPath: "/c" });
  expect(last.ratePerSecond).toBeCloseTo(100, 6);
  expect(last.etaSeconds).toBeCloseTo(34, 6);

  const reports = seen.length;
  for (let i = 0; i < 99; i++, now++) meter.step(1);
  expect(seen.length).toBeLessThanOrEqual(reports + 2);
});

test("more work than was counted is never shown as more than all", () => {
  const seen: Progress[] = [];
  const meter = new ProgressMeter(
    (p) => seen.push(p),
    () => seen.length * 1000,
  );
  meter.start("embed", 1);
  meter.step(3);
  expect(seen.at(-1)).toMatchObject({ done: 3, total: 3, etaSeconds: 0 });
  new ProgressMeter(undefined, () => 0).start("scan");
});
