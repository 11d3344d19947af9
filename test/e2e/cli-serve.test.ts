import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cli, ended, type RunOptions, startCli } from "./cli-process.ts";

// A process takes a third of a second, and ten seconds where many others run.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
let options: RunOptions;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "internvl-serve-"));
  options = { cwd: folder, env: { HOME: folder, PORT: "0" } };
  await mkdir(join(folder, "pictures"));
  for (const background of ["red", "lime", "blue"])
    await sharp({ create: { width: 8, height: 8, channels: 3, background } }).toFile(
      join(folder, "pictures", `${background}.png`),
    );
  await writeFile(join(folder, "pictures", "phone.heic"), "not looked into");
});
afterAll(() => rm(folder, { recursive: true }));

/** Asks until the answer is the wanted one; the indexing goes on meanwhile. */
async function until<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("serve prints its address when it answers, indexes the folders, and stops in order", async () => {
  const child = startCli(["serve", "--folder", "pictures"], options);
  const end = ended(child);
  let said = "";
  child.stderr!.on("data", (text: string) => {
    said += text;
  });
  const line = await new Promise<string>((resolve) => child.stdout!.once("data", resolve));
  const url = /^internvl is at (http:\/\/localhost:\d+\/)\n$/.exec(line)![1]!;
  const search = async () => {
    const response = await fetch(new URL("api/search?q=something+blue&k=2", url));
    expect(response.status).toBe(200);
    return (await response.json()) as { results: { path: string; score: number }[] };
  };
  const { results } = await until(search, (answer) => answer.results.length === 2);
  expect(results[0]!.path).toMatch(/blue\.png$/);
  expect(results[0]!.score).toBeCloseTo(1, 3);
  const page = await fetch(url);
  expect(page.headers.get("content-type")).toMatch(/^text\/html/);
  await until(
    async () => said,
    (text) => text.includes("all folders are indexed"),
  );
  child.kill("SIGINT");
  const pictures = join(await realpath(folder), "pictures");
  expect(await end).toMatchObject({
    code: 0,
    stderr: `${pictures}: 1 .heic file is not read: convert it to JPEG first\nall folders are indexed\n`,
  });
  await expect(fetch(url)).rejects.toThrow();

  // The folder stayed in the user's own index.
  const found = JSON.parse((await cli(["search", "red", "--json"], options)).stdout);
  expect(found.results[0].path).toMatch(/red\.png$/);
});

test("a folder that is none and a model that cannot be loaded end it with a message", async () => {
  const missing = await cli(["serve", "--folder", "nowhere"], options);
  expect([missing.code, missing.stderr]).toEqual([
    2,
    expect.stringMatching(/^error: nowhere: there is no such folder\n$/),
  ]);
  const whole = await cli(["serve", "--folder", "/"], options);
  expect([whole.code, whole.stderr]).toEqual([2, expect.stringMatching(/^error: \/: is the whole disk/)]);
  const model = await cli(["serve", "--model", "none"], options);
  expect([model.code, model.stderr]).toEqual([2, expect.stringMatching(/^error: none: expected a folder/)]);
});

test("an index that is interrupted goes on where it was", async () => {
  const args = ["index", "pictures", "--index", "half"];
  const child = startCli([...args, "--model", "slow"], options);
  const end = ended(child);
  // Progress lines come before it, when the machine is slow.
  await new Promise<void>((resolve) => {
    let said = "";
    child.stderr!.on("data", (text: string) => {
      said += text;
      if (said.includes("embedding\n")) resolve();
    });
  });
  child.kill("SIGINT");
  expect(await end).toMatchObject({ code: 130, stdout: "", stderr: "embedding\ninterrupted\n" });
  const resumed = JSON.parse((await cli([...args, "--model", "nano", "--json"], options)).stdout);
  expect(resumed).toMatchObject({ images: 3, failed: 0 });
});
