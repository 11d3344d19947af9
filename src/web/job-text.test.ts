import { expect, test } from "vitest";
import type { Job } from "./api.ts";
import { jobText } from "./job-text.ts";

const job = (rest: Partial<Job>): Job => ({
  folder: "/home/me/holidays",
  state: "queued",
  broken: [],
  ...rest,
});

const embedding = { phase: "embed", done: 1200, total: 4000, failed: 0, ratePerSecond: 9.46 };

test.each<[string, Partial<Job>]>([
  ["Waiting for its turn", {}],
  [
    "Waiting for its turn: held by process 12; wait for it to end",
    { error: "held by process 12; wait for it to end" },
  ],
  ["Not indexed: the disk is full", { state: "failed", error: "the disk is full" }],
  ["Up to date", { state: "done" }],
  ["Looking for pictures…", { state: "indexing" }],
  ["Tidying the index…", { state: "indexing", progress: { ...embedding, phase: "optimize" } }],
  ["1,200 of 4,000 · 9.5 pictures/s", { state: "indexing", progress: embedding }],
  [
    "1,200 of 4,000 · 25 pictures/s · about 2 min left",
    { state: "indexing", progress: { ...embedding, ratePerSecond: 25.2, etaSeconds: 112 } },
  ],
])("%s", (text, rest) => {
  expect(jobText(job(rest))).toBe(text);
});
