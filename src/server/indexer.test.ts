import { expect, test } from "vitest";
import { UsageError } from "../core/errors.ts";
import { LockHeldError } from "../core/folder-lock.node.ts";
import type { Progress } from "../search/progress.ts";
import { type FolderJob, Indexer } from "./indexer.ts";
import type { PictureIndex } from "./ports.ts";

const progress: Progress = {
  phase: "embed",
  done: 1,
  total: 2,
  failed: 1,
  ratePerSecond: 1,
  etaSeconds: 1,
  currentPath: undefined,
};

/** An index that only writes down what is done to it; `update` lasts until `finish` or its signal. */
function recordingIndex() {
  const log: string[] = [];
  const finishers = new Map<string, (error?: Error) => void>();
  const index = {
    async update(folder: string, options: { onProgress: (p: Progress) => void; signal: AbortSignal }) {
      log.push(`update ${folder}`);
      options.onProgress(progress);
      await new Promise<void>((resolve, reject) => {
        finishers.set(folder, (error) => (error ? reject(error) : resolve()));
        options.signal.addEventListener("abort", () => reject(options.signal.reason));
      });
      log.push(`updated ${folder}`);
    },
    async remove(folder: string) {
      log.push(`remove ${folder}`);
    },
    folders: async () => ["/a", "/b"],
    failures: async () => [{ path: "/a/broken.png", reason: "is broken" }],
  } as unknown as PictureIndex;
  return { index, log, finish: (folder: string, error?: Error) => finishers.get(folder)?.(error) };
}

const until = async (condition: () => boolean) => {
  for (let i = 0; i < 10_000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  expect(condition()).toBe(true);
};

function states(indexer: Indexer): string[] {
  const seen: string[] = [];
  indexer.subscribe((job) => {
    const text = `${job.folder} ${job.state}`;
    if (seen.at(-1) !== text) seen.push(text);
  });
  return seen;
}

test("folders are indexed one after the other, each once", async () => {
  const { index, log, finish } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  const seen = states(indexer);
  indexer.add("/a");
  indexer.add("/b");
  expect(indexer.add("/a").state).toBe("queued");
  await until(() => log.includes("update /a"));
  finish("/a");
  await until(() => log.includes("update /b"));
  finish("/b");
  await until(() => indexer.jobs.every((job) => job.state === "done"));
  expect(log).toEqual(["update /a", "updated /a", "update /b", "updated /b"]);
  expect(seen).toEqual(["/a queued", "/b queued", "/a indexing", "/a done", "/b indexing", "/b done"]);
  expect(indexer.jobs[0]!.broken).toEqual([{ path: "/a/broken.png", reason: "is broken" }]);
});

test("progress is told while it goes on, with the broken files", async () => {
  const { index, finish } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  const jobs: FolderJob[] = [];
  indexer.subscribe((job) => jobs.push(job));
  indexer.add("/a");
  await until(() => jobs.some((job) => job.state === "indexing" && job.progress !== undefined));
  expect(jobs.at(-1)).toMatchObject({ progress, broken: [{ reason: "is broken" }] });
  finish("/a");
  await until(() => indexer.jobs[0]!.state === "done");
});

test("a removal interrupts the indexing of another folder, which then goes on", async () => {
  const { index, log, finish } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  indexer.add("/a");
  await until(() => log.includes("update /a"));
  await indexer.remove("/b");
  await until(() => log.length === 3);
  expect(log).toEqual(["update /a", "remove /b", "update /a"]);
  finish("/a");
  await until(() => indexer.jobs[0]!.state === "done");
});

test("removing the folder that is being indexed ends its job", async () => {
  const { index, log } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  indexer.add("/a");
  await until(() => log.includes("update /a"));
  await indexer.remove("/a");
  expect(log).toEqual(["update /a", "remove /a"]);
  expect(indexer.jobs).toEqual([]);
});

test("removing a folder that waits for its turn only takes it out of the queue", async () => {
  const { index, log } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  indexer.add("/a");
  indexer.add("/new");
  await until(() => log.includes("update /a"));
  await indexer.remove("/new");
  expect(log).not.toContain("remove /new");
  expect(indexer.jobs.map((job) => job.folder)).toEqual(["/a"]);
  await indexer.close();
});

test("a failure that is the user's to mend is told on the job only", async () => {
  const { index, log, finish } = recordingIndex();
  const defects: unknown[] = [];
  const indexer = new Indexer(index, (error) => defects.push(error));
  indexer.add("/a");
  await until(() => log.includes("update /a"));
  finish("/a", new UsageError("another process writes to the index"));
  await until(() => indexer.jobs[0]!.state === "failed");
  expect(defects).toEqual([]);
});

test("a folder that another process keeps from being indexed is tried again", async () => {
  const { index, log, finish } = recordingIndex();
  const indexer = new Indexer(index, () => {}, 5);
  indexer.add("/a");
  await until(() => log.length === 1);
  finish("/a", new LockHeldError("held by process 7"));
  await until(() => log.length === 2);
  finish("/a");
  await until(() => indexer.jobs[0]!.state === "done");
  expect(log).toEqual(["update /a", "update /a", "updated /a"]);
});

test("closing does not wait for another process", async () => {
  const { index, log, finish } = recordingIndex();
  const indexer = new Indexer(index, () => {}, 1e9);
  indexer.add("/a");
  await until(() => log.length === 1);
  finish("/a", new LockHeldError("held by process 7"));
  await until(() => indexer.jobs[0]!.state === "queued");
  expect(indexer.jobs[0]!.error).toBe("held by process 7");
  await indexer.close();
});

test("a failed folder keeps its reason and does not stop the next", async () => {
  const { index, log, finish } = recordingIndex();
  const defects: unknown[] = [];
  const indexer = new Indexer(index, (error) => defects.push(error));
  indexer.add("/a");
  indexer.add("/b");
  await until(() => log.includes("update /a"));
  finish("/a", new Error("disk full"));
  await until(() => log.includes("update /b"));
  expect(indexer.jobs[0]).toMatchObject({ state: "failed", error: "disk full" });
  expect(defects).toHaveLength(1);
  await indexer.close();
});

test("closing stops what runs and starts nothing more", async () => {
  const { index, log } = recordingIndex();
  const indexer = new Indexer(index, () => {});
  indexer.add("/a");
  indexer.add("/b");
  await until(() => log.includes("update /a"));
  await indexer.close();
  expect(log).toEqual(["update /a"]);
  await expect(indexer.remove("/a")).rejects.toThrow(/stopping/);
});
