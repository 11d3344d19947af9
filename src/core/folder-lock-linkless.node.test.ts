import { readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { FolderLock } from "./folder-lock.node.ts";

/** A file system without hard links, such as exFAT. */
vi.mock("node:fs/promises", async (original) => ({
  ...(await original<typeof import("node:fs/promises")>()),
  link: () => Promise.reject(Object.assign(new Error("EPERM: link"), { code: "EPERM" })),
}));

test("without hard links there is one holder at a time, too, and stale locks are taken over", async () => {
  await using folder = await temporaryFolder();
  const lock = await FolderLock.acquire(folder.path);
  await lock.verify();
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(`held by process ${process.pid}`);
  await lock[Symbol.asyncDispose]();
  expect(await readdir(folder.path)).toEqual([]);

  const file = join(folder.path, "lock");
  await writeFile(file, "");
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(/held by/);
  await utimes(file, new Date(), new Date(Date.now() - 61_000));
  await (await FolderLock.acquire(folder.path))[Symbol.asyncDispose]();
  expect(await readdir(folder.path)).toEqual([]);
});
