import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { UsageError } from "./errors.ts";
import { FolderLock, LockHeldError } from "./folder-lock.node.ts";

const holder = { token: "x", pid: process.pid, host: hostname(), processStart: "", since: "2026-01-01" };

test("one holder at a time; released locks leave nothing behind", async () => {
  await using folder = await temporaryFolder();
  const lock = await FolderLock.acquire(folder.path);
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(UsageError);
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(
    `held by process ${process.pid} on ${hostname()}`,
  );
  await lock.verify();
  await lock[Symbol.asyncDispose]();
  await lock[Symbol.asyncDispose]();
  expect(await readdir(folder.path)).toEqual([]);
  await (await FolderLock.acquire(folder.path))[Symbol.asyncDispose]();
});

test("of many that try at once, one wins, also when a dead holder's lock lies there", async () => {
  await using folder = await temporaryFolder();
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "close");
  await writeFile(join(folder.path, "lock"), JSON.stringify({ ...holder, pid: child.pid }));
  const tries = await Promise.allSettled(Array.from({ length: 12 }, () => FolderLock.acquire(folder.path)));
  const won = tries.filter((t) => t.status === "fulfilled");
  expect(won).toHaveLength(1);
  await won[0]!.value.verify();
  await won[0]!.value[Symbol.asyncDispose]();
  expect(await readdir(folder.path)).toEqual([]);
});

test("a takeover that a crash cut short does not block the next one for long", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  await writeFile(file, JSON.stringify({ ...holder, host: "elsewhere" }));
  await utimes(file, new Date(), new Date(Date.now() - 61_000));
  await writeFile(`${file}.stale-x`, "");
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(/held by/);
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 11_000);
  try {
    await (await FolderLock.acquire(folder.path))[Symbol.asyncDispose]();
  } finally {
    vi.restoreAllMocks();
  }
  expect(await readdir(folder.path)).toEqual([]);
});

test("the number of a dead process, given to another one, does not keep the lock", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  const lock = await FolderLock.acquire(folder.path);
  const mine = JSON.parse(await readFile(file, "utf8"));
  await lock[Symbol.asyncDispose]();
  await writeFile(file, JSON.stringify({ ...mine, token: "old", processStart: "another boot/1" }));
  const taking = FolderLock.acquire(folder.path);
  // Only Linux says when a process began; elsewhere a living process of that number has to be believed.
  if (mine.processStart === "") await expect(taking).rejects.toThrow(/held by/);
  else await (await taking)[Symbol.asyncDispose]();
});

test("where a process cannot be recognised, one of the same number that is silent does not keep the lock", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  await writeFile(file, JSON.stringify(holder));
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(LockHeldError);
  await utimes(file, new Date(), new Date(Date.now() - 61_000));
  await (await FolderLock.acquire(folder.path))[Symbol.asyncDispose]();
});

test("of another computer or container, or a damaged lock, only the heartbeat tells", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  for (const contents of [
    JSON.stringify({ ...holder, host: "elsewhere" }),
    JSON.stringify({ ...holder, pidNamespace: "pid:[1]" }),
    JSON.stringify({ ...holder, token: "../x" }),
    "{",
    "",
  ]) {
    await writeFile(file, contents);
    await expect(FolderLock.acquire(folder.path)).rejects.toThrow(/held by process/);
    await utimes(file, new Date(), new Date(Date.now() - 61_000));
    await (await FolderLock.acquire(folder.path))[Symbol.asyncDispose]();
  }
});

test("something else of that name is left alone", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  await writeFile(file, "my notes");
  await utimes(file, new Date(), new Date(Date.now() - 61_000));
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(/lock: expected a lock file .* another file/);
  expect(await readFile(file, "utf8")).toBe("my notes");
  await rm(file);
  await mkdir(file);
  await expect(FolderLock.acquire(folder.path)).rejects.toThrow(UsageError);
});

test("a lock that was removed is renewed, one that was taken over is not", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  const lock = await FolderLock.acquire(folder.path);
  await rm(file);
  await lock.renew();
  await lock.verify();
  await writeFile(file, JSON.stringify({ ...holder, pid: 4711 }));
  await expect(lock.renew()).rejects.toThrow(/taken over by process 4711/);
  await lock[Symbol.asyncDispose]();
});

test("a lock that was lost or taken over is noticed, and not removed from its new holder", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "lock");
  const lock = await FolderLock.acquire(folder.path);
  await rm(file);
  await expect(lock.verify()).rejects.toThrow(/found it removed/);
  await writeFile(file, JSON.stringify({ ...holder, pid: 4711 }));
  await expect(lock.verify()).rejects.toThrow(/taken over by process 4711/);
  await lock[Symbol.asyncDispose]();
  expect(await readdir(folder.path)).toEqual(["lock"]);
});
