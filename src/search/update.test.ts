import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { Rng } from "../core/rng.ts";
import { bytesBelow } from "./folders.ts";
import { ImageIndex } from "./image-index.ts";
import { fakeEmbedder, patches, put, rowsOf } from "./test-support.ts";

const SCRIPT = fileURLToPath(new URL("update-process.test-support.ts", import.meta.url));

const NOBODY = 65_534;

/** Starts an update in another process and waits until it embeds or has ended. */
async function startUpdate(dir: string, folder: string, delayMs: number) {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--import", "tsx", SCRIPT, dir, folder, String(delayMs)],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  let errors = "";
  const ended = once(child, "close");
  child.stderr!.on("data", (d) => {
    errors += d;
  });
  await new Promise<void>((resolve) => {
    child.stdout!.on("data", (d) => {
      output += d;
      if (output.includes("embedding")) resolve();
    });
    void ended.then(() => resolve());
  });
  return { child, ended, output: () => output, errors: () => errors };
}

test("killed at any moment and started again, an update ends as if nothing had happened", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  const dir = join(temporary.path, "index");
  const files: Record<string, Buffer | string> = { "bad.png": "bad" };
  for (let i = 0; i < 70; i++) files[`${i % 7}/${i}.png`] = await patches(i % 65); // some occur twice
  await put(folder, files);

  const rng = new Rng("kill");
  let interrupted = 0;
  for (let kill = 0; kill < 6; kill++) {
    const { child, ended, output } = await startUpdate(dir, folder, 60);
    await new Promise((r) => setTimeout(r, 20 + rng.int(300)));
    child.kill("SIGKILL");
    await ended;
    if (!output().includes("done")) interrupted++;
    const paths = (await rowsOf(dir)).map((r) => r.path);
    expect(new Set(paths).size).toBe(paths.length);
    // The folder goes on living between the crashes.
    await unlink(join(folder, `${kill}/${kill}.png`));
    await put(folder, { [`${kill}/${kill + 7}.png`]: await patches(`changed ${kill}`) });
  }
  expect(interrupted).toBeGreaterThanOrEqual(4);

  const last = await startUpdate(dir, folder, 0);
  await last.ended;
  expect({ output: last.output(), errors: last.errors() }).toEqual({
    output: "embedding\ndone\n",
    errors: "",
  });
  await using straight = await ImageIndex.open(join(temporary.path, "straight"), fakeEmbedder());
  await straight.update(folder);
  expect(await rowsOf(dir)).toEqual(await rowsOf(straight.dir));
  expect(await readdir(dir)).not.toContain("lock");
}, 300_000); // Eight processes are started one after another, which takes long on a busy machine.

test("killed before the index exists, the next update makes it, and writes nothing to stderr", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  const dir = join(temporary.path, "index");
  await put(folder, { "a.png": await patches(1) });
  const { ended, errors } = await startUpdate(dir, folder, 0);
  await ended;
  expect(errors()).toBe("");
  // What a crash between making the table and writing the manifest leaves behind.
  await rm(join(dir, "index.json"));
  const again = await startUpdate(dir, folder, 0);
  await again.ended;
  expect({ output: again.output(), errors: again.errors() }).toEqual({
    output: "embedding\ndone\n",
    errors: "",
  });
  expect(await rowsOf(dir)).toHaveLength(1);
});

test("more changed files than are remembered are found by a second walk", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  for (let i = 0; i < 20; i++) await put(folder, { [`${i}.png`]: await patches(i) });
  await using index = await ImageIndex.open(join(temporary.path, "index"), fakeEmbedder());
  await put(folder, { "phone/1.HEIC": "1", "phone/2.heic": "2", "old.bmp": "3", "notes.txt": "4" });
  const totals = new Set<number | undefined>();
  const result = await index.update(folder, {
    limits: { pendingPaths: 5 },
    onProgress: (p) => p.phase === "embed" && totals.add(p.total),
  });
  // Pictures of other kinds are counted once all the same.
  expect(result).toMatchObject({ added: 20, failed: 0, unsupported: { ".heic": 2, ".bmp": 1 } });
  expect([...totals]).toEqual([20]);
});

test("many small commits do not pile up on the disk", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  for (let i = 0; i < 140; i++) await put(folder, { [`${i}.png`]: await patches(i, 4, 4) });
  await using many = await ImageIndex.open(join(temporary.path, "many"), fakeEmbedder());
  await many.update(folder, { limits: { batch: 1, commitRows: 1 } });
  const data = await readdir(join(many.dir, "images-1.lance/data"));
  // 140 commits, joined every 64; the last joining keeps what a search that began before it may still read.
  expect(data.length).toBeLessThan(150);
  expect(await bytesBelow(many.dir)).toBeLessThan(4_000_000);
  expect((await rowsOf(many.dir)).length).toBe(140);
});

test("of two errors the first is told, with the second as its cause", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  const dir = join(temporary.path, "index");
  await put(folder, { "1.png": await patches(1), "2.png": await patches(2) });
  let calls = 0;
  const model = fakeEmbedder();
  const embedImages: typeof model.embedImages = async (images) => {
    if (++calls === 1) return model.embedImages(images);
    // Then what was embedded before cannot be committed either.
    await rm(join(dir, "lock"));
    throw new Error("the model failed");
  };
  await using index = await ImageIndex.open(dir, { ...model, embedImages });
  const error = await index.update(folder, { limits: { batch: 1 } }).catch((e: unknown) => e);
  expect(error).toMatchObject({
    message: "the model failed",
    cause: { message: expect.stringMatching(/found it removed/) },
  });
});

test("what cannot be read now is not taken for gone", async () => {
  await using temporary = await temporaryFolder();
  const folder = join(temporary.path, "pictures");
  await put(folder, {
    "a/1.png": await patches(1),
    "a/deep/2.png": await patches(2),
    "b.png": await patches(3),
  });
  await using index = await ImageIndex.open(join(temporary.path, "index"), fakeEmbedder());
  await index.update(folder);
  const locked = join(folder, "a");
  await chmod(locked, 0);
  // Permissions do not bind the superuser, so its rights are laid down for this update.
  const superuser = process.geteuid?.() === 0;
  if (superuser) {
    await promisify(execFile)("chown", ["-R", String(NOBODY), temporary.path]);
    process.seteuid!(NOBODY);
  }
  try {
    const result = await index.update(folder);
    expect(result).toMatchObject({ unchanged: 1, removed: 0, problems: [{ path: locked }] });
    expect(result.problems[0]!.reason).toMatch(/permission/);
    expect((await index.stats()).images).toBe(3);
    await chmod(locked, 0o755);
    await chmod(join(locked, "1.png"), 0);
    await put(folder, { "c.png": await patches(4) });
    await chmod(join(folder, "c.png"), 0);
    // A known file is not even opened; a new one fails, and is tried again though its time stays the same.
    expect(await index.update(folder)).toMatchObject({ unchanged: 3, failed: 1 });
    expect(await index.failures()).toEqual([
      { path: join(folder, "c.png"), reason: expect.stringMatching(/permission/) },
    ]);
    await chmod(join(folder, "c.png"), 0o644);
    expect(await index.update(folder)).toMatchObject({ unchanged: 3, added: 1 });
  } finally {
    if (superuser) process.seteuid!(0);
    await chmod(locked, 0o755);
  }
});
