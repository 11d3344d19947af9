import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { fakeTerminal } from "./fake-terminal.fixture.ts";
import { duration, Progress, whileWaiting } from "./progress.ts";
import { cells } from "./terminal.ts";

/** A progress whose clock the test moves, in seconds. */
function setUp(terminal = fakeTerminal()) {
  const clock = { seconds: 0 };
  const progress = new Progress(terminal, { now: () => 1000 * clock.seconds, lineEveryMs: 5000 });
  return { clock, progress, terminal };
}

test("without a terminal: nothing for short tasks, then a plain line every few seconds", () => {
  const { clock, progress, terminal } = setUp();
  for (let s = 0; s <= 12; s++) {
    clock.seconds = s;
    progress.update({ label: "indexing", done: 100 * s, total: 5000, note: "a\nb" });
  }
  progress.clear();
  expect(terminal.text).toBe(
    "indexing 500/5,000  10 %  100/s  45 s left  a\\u000ab\nindexing 1,000/5,000  20 %  100/s  40 s left  a\\u000ab\n",
  );
});

test("bytes have their units", () => {
  const { clock, progress, terminal } = setUp();
  for (let s = 0; s <= 6; s++) {
    clock.seconds = s;
    const done = 900_000_000 + 12_500_000 * s;
    progress.update({ label: "downloading", done, total: 1_880_000_000, note: "a.bin", unit: "bytes" });
  }
  expect(terminal.text).toBe("downloading 963 MB/1.9 GB  51 %  13 MB/s  1:13 left  a.bin\n");
});

test("on a terminal: one line that is redrawn, fits the width, and goes away", () => {
  const { clock, progress, terminal } = setUp(fakeTerminal({ isTTY: true, columns: 60 }));
  for (let s = 0; s <= 2; s++) {
    clock.seconds = s;
    progress.update({ label: "indexing", done: s, total: 4, note: "x".repeat(100) });
  }
  const drawn = terminal.text.split("\r\x1b[K").slice(1);
  expect(drawn).toHaveLength(3);
  for (const line of drawn) expect(cells(line)).toBeLessThan(60);
  expect(drawn[2]).toMatch(/^indexing ━{10}─{10} 2\/4 {2}50 %/);
  expect(terminal.text).not.toContain("\n");
  progress[Symbol.dispose]();
  expect(terminal.text.endsWith("\r\x1b[K")).toBe(true);
});

test("a terminal is not flooded", () => {
  const { clock, progress, terminal } = setUp(fakeTerminal({ isTTY: true }));
  for (let i = 0; i < 1000; i++) {
    clock.seconds = i / 1000;
    progress.update({ label: "ranking", done: i, total: 1000 });
  }
  expect(terminal.text.split("\r").length).toBeLessThan(15);
});

test("the rate is that of the last seconds, begins anew with each task, and may be given", () => {
  const { clock, progress, terminal } = setUp();
  const at = (seconds: number, state: Parameters<typeof progress.update>[0]) => {
    clock.seconds = seconds;
    progress.update(state);
  };
  at(0, { label: "a", done: 0 });
  at(100, { label: "a", done: 1000 });
  at(110, { label: "a", done: 1500 });
  at(120, { label: "b", done: 7, total: 10, ratePerSecond: 2, etaSeconds: 3700 });
  expect(terminal.text.split("\n")).toEqual([
    "a 1,000  10/s",
    "a 1,500  50/s",
    "b 7/10  70 %  2.0/s  1:01:40 left",
    "",
  ]);
});

test("durations", () => {
  expect([0.4, 59, 60, 187, 3600, 7500].map(duration)).toEqual([
    "0 s",
    "59 s",
    "1:00",
    "3:07",
    "1:00:00",
    "2:05:00",
  ]);
});

test("waiting is counted in seconds from the second on, and an abort ends it", async () => {
  const terminal = fakeTerminal({ isTTY: true });
  const never = new AbortController();
  expect(await whileWaiting(terminal, "loading", never.signal, sleep(10, "a"))).toBe("a");
  expect(terminal.text).toBe("");
  expect(await whileWaiting(terminal, "loading", never.signal, sleep(1500, "b"))).toBe("b");
  expect(terminal.text.replaceAll("\x1b[K", "")).toMatch(/^(\rloading [1-9]\d* s)+\r$/);
  const cancel = new AbortController();
  const waiting = whileWaiting(terminal, "loading", cancel.signal, new Promise(() => {}));
  cancel.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(whileWaiting(terminal, "loading", cancel.signal, sleep(1))).rejects.toThrow("enough");
});
