import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type HubServer, repositoryOfFolder, STUB_COMMIT, type StubFile, startHub } from "../hub-server.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { writeTinyChat } from "../tiny-chat.ts";
import { cli, ended, type RunOptions, startCli } from "./cli-process.ts";

/** Models by their names, as users type them, from a hub on this machine. */

// A process takes a second, and ten where many others run.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const NAME = "OpenGVLab/InternVL3-1B";
const MODEL = `models--${NAME.replace("/", "--")}`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let hub: HubServer;
let weights: StubFile;
beforeAll(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder.path, "local"));
  await writeTinyChat(join(folder.path, "local"));
  const background = { r: 200, g: 30, b: 90 };
  const create = { width: 84, height: 28, channels: 3 as const, background };
  await sharp({ create }).png().toFile(join(folder.path, "photo.png"));
  const repository = await repositoryOfFolder(join(folder.path, "local"));
  weights = repository.get("model.safetensors")!;
  // What no model needs.
  repository.set("modeling_internvl_chat.py", { bytes: Buffer.from("import os"), lfs: false });
  repository.set("README.md", { bytes: Buffer.from("# hi"), lfs: false });
  hub = await startHub(new Map([[NAME, repository]]));
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});
afterEach(() => {
  hub.intercept = undefined;
  hub.log.length = 0;
});

/** A run with a cache of its own. */
const options = (cache: string, env: Readonly<Record<string, string>> = {}): RunOptions => ({
  cwd: folder.path,
  real: true,
  env: { HOME: folder.path, HF_ENDPOINT: hub.url, HF_HUB_CACHE: join(folder.path, cache), ...env },
});
const ASK = ["photo.png", "What is on the sign?", "--max-tokens", "12", "--threads", "1"];
const contents = () => hub.log.filter((line) => line.startsWith("cdn "));

test("a name, a picture and a question: the model comes, and answers as the same model in a folder", async () => {
  const local = await cli(["chat", "local", ...ASK], options("unused"));
  expect(local).toMatchObject({ code: 0, stderr: "" });
  const named = await cli(["chat", NAME, ...ASK], options("first"));
  expect(named).toEqual(local);
  expect(contents()).toHaveLength(1);
  const files = await readdir(join(folder.path, "first", MODEL, "snapshots", STUB_COMMIT));
  expect(files).toContain("model.safetensors");
  expect(files.filter((name) => /\.(py|md)$/.test(name))).toEqual([]);

  // The second time nothing is downloaded, and --json prints nothing else.
  hub.log.length = 0;
  const again = await cli(["chat", `${NAME}@main`, ...ASK, "--json"], options("first"));
  expect(again).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(again.stdout)).toMatchObject({
    model: expect.stringMatching(/^InternVL3-1B@[0-9a-f]{12}$/),
    answer: local.stdout.trimEnd(),
  });
  expect(contents()).toEqual([]);

  // Offline the hub is not asked; without it the model of the last time answers, and that is said.
  hub.log.length = 0;
  expect(await cli(["chat", NAME, ...ASK, "--offline"], options("first"))).toEqual(local);
  expect(hub.log).toEqual([]);
  const away = await cli(["chat", NAME, ...ASK], options("first", { HF_ENDPOINT: "http://127.0.0.1:1" }));
  expect(away).toMatchObject({ code: 0, stdout: local.stdout });
  expect(away.stderr).toMatch(/the hub is not there .*; using the model of the last time\n$/);
});

test("what is here comes before the hub", async () => {
  await mkdir(join(folder.path, "OpenGVLab", "InternVL3-1B"), { recursive: true });
  await writeTinyChat(join(folder.path, "OpenGVLab", "InternVL3-1B"));
  try {
    const run = await cli(["chat", NAME, "hi", "--max-tokens", "2", "--threads", "1"], options("unused"));
    expect(run).toMatchObject({ code: 0, stderr: "" });
    expect(hub.log).toEqual([]);
  } finally {
    await rm(join(folder.path, "OpenGVLab"), { recursive: true });
  }
});

test.each<[NodeJS.Signals, number | null]>([
  ["SIGINT", 130],
  ["SIGKILL", null],
])("a download that %s stops is gone on with", async (signal, code) => {
  const half = Math.floor(weights.bytes.byteLength / 2);
  const waits = new Promise<void>((resolve) => {
    hub.intercept = ({ host }, response) => {
      if (host !== "cdn") return false;
      response.writeHead(200, { "Content-Length": weights.bytes.byteLength });
      response.write(weights.bytes.subarray(0, half), () => setTimeout(resolve, 500));
      return true;
    };
  });
  const child = startCli(["chat", NAME, ...ASK], options(signal));
  const end = ended(child);
  await waits;
  const blobs = join(folder.path, signal, MODEL, "blobs");
  const partial = async () => {
    const name = (await readdir(blobs)).find((blob) => blob.endsWith("-incomplete"));
    return name === undefined ? 0 : (await stat(join(blobs, name))).size;
  };
  await vi.waitFor(async () => expect(await partial()).toBe(half), 60_000);
  child.kill(signal);
  expect(await end).toEqual({ code, stdout: "", stderr: code === null ? "" : "interrupted\n" });
  expect(await partial()).toBe(half);

  let range: string | undefined;
  hub.intercept = ({ host, headers }) => {
    if (host === "cdn") range = headers.range;
    return false;
  };
  const run = await cli(["chat", NAME, ...ASK], options(signal));
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(range).toBe(`bytes=${half}-`);
});

describe("what is not possible ends with 2, a message and nothing on stdout", () => {
  test.each<[string, string[], RegExp, Record<string, string>?]>([
    [
      "an unknown model",
      ["chat", "OpenGVLab/InternVL3-1C", "hi"],
      /no such file or folder here, and no public model of this name at .*did you mean OpenGVLab\/InternVL3-/,
    ],
    [
      "no network",
      ["chat", NAME, "hi"],
      /no such file or folder here, and the hub at .* cannot be reached \(127\.0\.0\.1:1: .*check the connection/,
      { HF_ENDPOINT: "http://127.0.0.1:1" },
    ],
    [
      "a model that is not here, offline",
      ["embed", "--text", "x", "--model", NAME, "--offline"],
      /not complete in the cache .*run it once online/,
    ],
    ["a picture in the model's place", ["chat", "some/photo.png", "hi"], /found none; check the path/],
    [
      "an mmproj that is not there",
      ["chat", "local", "hi", "--mmproj", `${NAME}/mmproj.gguf`],
      /found no file mmproj\.gguf/,
    ],
  ])("%s", async (_, args, message, env) => {
    const { code, stdout, stderr } = await cli(args, options("errors", env));
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test("a model that chats and does not embed", async () => {
    const { code, stderr } = await cli(["embed", "--text", "x", "--model", NAME], options("first"));
    expect(code).toBe(2);
    expect(stderr).toMatch(/InternVL-C/);
  });
});

test.each([["--chat"], ["--model"]])("serve %s NAME answers under the model's name", async (flag) => {
  const args = [
    "serve",
    flag,
    NAME,
    "--port",
    "0",
    "--threads",
    "1",
    "--index",
    join(folder.path, "index"),
    "--json",
  ];
  const child = startCli(args, options("served"));
  const end = ended(child);
  const url = await new Promise<string>((resolve) => {
    let text = "";
    child.stdout!.on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("}")) resolve((JSON.parse(text) as { url: string }).url);
    });
  });
  const body = JSON.stringify({
    model: "InternVL3-1B",
    max_tokens: 4,
    messages: [{ role: "user", content: "hi" }],
  });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(new URL("/v1/chat/completions", url), { method: "POST", headers, body });
  expect(response.status).toBe(200);
  const answer = (await response.json()) as { choices: { message: { content: string } }[] };
  expect(answer.choices[0]!.message.content.length).toBeGreaterThan(0);
  child.kill("SIGINT");
  expect((await end).code).toBe(0);
});
