import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  gitHash,
  type HubServer,
  STUB_COMMIT,
  type StubFile,
  sha256,
  startHub,
} from "../../test/hub-server.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { type DownloadOptions, type DownloadProgress, downloadModel } from "./download-model.node.ts";

const text = (content: string): StubFile => ({ bytes: Buffer.from(content), lfs: false });
const large = (bytes: number, seed = 1): StubFile => ({
  bytes: Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255)),
  lfs: true,
});

const WEIGHTS = large(300_000);
const SMALL = { "config.json": text("{}"), "tokenizer.json": text('{"a":1}') };
const model = (files: Readonly<Record<string, StubFile>>) => new Map(Object.entries({ ...SMALL, ...files }));
const index = (...shards: string[]) =>
  text(JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`w${i}`, shard])) }));

const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
const REPOSITORIES = new Map([
  [
    "OpenGVLab/InternVL3-1B",
    model({
      "model.safetensors": WEIGHTS,
      "modeling_internvl_chat.py": text("import os"),
      "README.md": text("# hi"),
      "examples/image1.jpg": large(1000),
      "pytorch_model.bin": large(1000, 2),
      "generation_config.json": text("{ }"),
      "chat_template.jinja": text("hello"),
      "onnx/model.onnx": large(1000, 3),
    }),
  ],
  [
    "a/sharded",
    model({
      "model.safetensors.index.json": index(...SHARDS),
      [SHARDS[0]]: large(5000, 4),
      [SHARDS[1]]: large(6000, 5),
      "consolidated.safetensors": large(7000, 6),
    }),
  ],
  ["a/torch", model({ "pytorch_model.bin": large(4000, 7), "tf_model.h5": large(10) })],
  ["a/lost", model({ "model.safetensors.index.json": index("model-1.safetensors") })],
  ["a/leaves", model({ "model.safetensors.index.json": index("../../../../x.safetensors") })],
  ["a/two", model({ "a.pth": large(10, 8), "b.pth": large(11, 9) })],
  [
    "a/quants",
    new Map([
      ["Q4/m.gguf", large(1200, 10)],
      ["README.md", text("#")],
    ]),
  ],
  ["a/empty", new Map([["README.md", text("#")]])],
]);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let hub: HubServer;
beforeEach(async () => {
  folder = await temporaryFolder();
  hub = await startHub(REPOSITORIES);
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const NAME = "OpenGVLab/InternVL3-1B";
const cacheOf = (repo: string, ...rest: string[]) =>
  join(folder.path, "hub", `models--${repo.replace("/", "--")}`, ...rest);
const download = (name = NAME, options: DownloadOptions = {}) =>
  downloadModel(name, {
    environment: { HOME: folder.path, HF_HOME: folder.path, HF_ENDPOINT: hub.url },
    timeoutMs: 5_000,
    retryMs: 1,
    ...options,
  });
const hasWeights = async (path: string) =>
  (await readFile(join(path, "model.safetensors"))).equals(WEIGHTS.bytes);
const contentsLog = () => hub.log.filter((line) => line.startsWith("cdn "));

describe("what is downloaded", () => {
  test("what a model is loaded from, in the layout of the hub's cache; once", async () => {
    const path = await download();
    expect(path).toBe(cacheOf(NAME, "snapshots", STUB_COMMIT));
    expect((await readdir(path)).sort()).toEqual([
      ...[
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
      ],
    ]);
    expect(await hasWeights(path)).toBe(true);
    // Links that survive a move of the cache, to blobs by the hash that the hub stores them by.
    expect(await readlink(join(path, "model.safetensors"))).toBe(`../../blobs/${sha256(WEIGHTS.bytes)}`);
    expect(await readlink(join(path, "config.json"))).toBe(`../../blobs/${gitHash(Buffer.from("{}"))}`);
    expect(await readFile(cacheOf(NAME, "refs", "main"), "utf8")).toBe(STUB_COMMIT);
    expect(await readdir(cacheOf(NAME, "blobs"))).toHaveLength(5);
    hub.log.length = 0;
    expect(await download()).toBe(path);
    expect(hub.log.every((line) => line.startsWith("GET /api/models/"))).toBe(true);
  });

  test("shards that the index names, and no other weights", async () => {
    const path = await download("a/sharded");
    expect((await readdir(path)).sort()).toEqual([
      "config.json",
      ...[SHARDS[0], SHARDS[1], "model.safetensors.index.json", "tokenizer.json"],
    ]);
  });

  test("torch's file where there are no safetensors", async () => {
    expect(await readdir(await download("a/torch"))).toEqual([
      ...["config.json", "pytorch_model.bin", "tokenizer.json"],
    ]);
  });

  test("one file by its name, and what belongs to it", async () => {
    const gguf = await download("a/quants/Q4/m.gguf");
    expect(gguf).toBe(cacheOf("a/quants", "snapshots", STUB_COMMIT, "Q4", "m.gguf"));
    expect(await readlink(gguf)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\//);
    const pth = await download("a/two/b.pth");
    expect(await readdir(join(pth, ".."))).toEqual(["b.pth", "config.json", "tokenizer.json"]);
  });

  test("a commit that is here is asked of nobody", async () => {
    const path = await download(`${NAME}@${STUB_COMMIT}`);
    hub.log.length = 0;
    expect(await download(`${NAME}@${STUB_COMMIT}`)).toBe(path);
    expect(hub.log).toEqual([]);
  });

  test("a new commit of a branch takes over the files that did not change", async () => {
    const first = await download();
    hub.log.length = 0;
    hub.commit = STUB_COMMIT.replace("0123", "ffff");
    const second = await download();
    expect(second).not.toBe(first);
    expect(await hasWeights(second)).toBe(true);
    expect(contentsLog()).toEqual([]);
    expect(await readFile(cacheOf(NAME, "refs", "main"), "utf8")).toBe(hub.commit);
  });

  test("what another tool put into the cache is found", async () => {
    const blob = sha256(WEIGHTS.bytes);
    await mkdir(cacheOf(NAME, "blobs"), { recursive: true });
    await mkdir(cacheOf(NAME, "snapshots", STUB_COMMIT), { recursive: true });
    await writeFile(cacheOf(NAME, "blobs", blob), WEIGHTS.bytes);
    await symlink(`../../blobs/${blob}`, cacheOf(NAME, "snapshots", STUB_COMMIT, "model.safetensors"));
    await download();
    expect(contentsLog()).toEqual([]);
  });

  test("progress counts bytes of all files", async () => {
    const seen: DownloadProgress[] = [];
    await download(NAME, { onProgress: (progress) => seen.push(progress) });
    const total = seen[0]!.total;
    expect(total).toBe(300_000 + 2 + 7 + 3 + 5);
    expect(
      seen.every(
        (p, i) => p.phase === "downloading" && p.total === total && p.done >= (seen[i - 1]?.done ?? 0),
      ),
    ).toBe(true);
    expect(seen.at(-1)).toMatchObject({ done: total, file: "model.safetensors" });
  });

  test("the token goes to the hub and to nobody else", async () => {
    const environment = { HF_HOME: folder.path, HF_ENDPOINT: `${hub.url}/` };
    await writeFile(join(folder.path, "token"), "of-the-login\n");
    await download("a/torch", { environment });
    const sent = (host: "hub" | "cdn") =>
      new Set(hub.tokens.filter((_, i) => hub.log[i]!.startsWith("cdn ") === (host === "cdn")));
    expect([sent("hub"), sent("cdn")]).toEqual([new Set(["Bearer of-the-login"]), new Set([""])]);
    hub.tokens.length = hub.log.length = 0;
    await download(NAME, { environment: { ...environment, HF_TOKEN: "of-the-environment" } });
    expect([sent("hub"), sent("cdn")]).toEqual([new Set(["Bearer of-the-environment"]), new Set([""])]);
  });
});

describe("a download that stops", () => {
  test("is taken up again where the connection broke", async () => {
    hub.cuts.push(100_000, 50_000);
    const ranges: (string | undefined)[] = [];
    hub.intercept = ({ host, headers }) => {
      if (host === "cdn") ranges.push(headers.range);
      return false;
    };
    const path = await download();
    expect(await hasWeights(path)).toBe(true);
    expect(ranges).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
  });

  test("by an abort leaves its bytes for the next time", async () => {
    const stop = new AbortController();
    hub.intercept = ({ host }, response) => {
      if (host !== "cdn") return false;
      response.writeHead(200, { "Content-Length": WEIGHTS.bytes.byteLength });
      response.write(WEIGHTS.bytes.subarray(0, 120_000));
      return true;
    };
    const onProgress = ({ file, done }: DownloadProgress) => {
      if (file === "model.safetensors" && done > 120_000) stop.abort(new Error("enough"));
    };
    await expect(download(NAME, { signal: stop.signal, onProgress })).rejects.toThrow("enough");
    const partial = cacheOf(NAME, "blobs", `${sha256(WEIGHTS.bytes)}.internvl-incomplete`);
    expect((await stat(partial)).size).toBe(120_000);
    await expect(stat(cacheOf(NAME, "refs", "main"))).rejects.toThrow("ENOENT");
    let range: string | undefined;
    hub.intercept = ({ host, headers }) => {
      if (host === "cdn") range = headers.range;
      return false;
    };
    expect(await hasWeights(await download())).toBe(true);
    expect(range).toBe("bytes=120000-");
    await expect(stat(partial)).rejects.toThrow("ENOENT");
  });

  test("and whose bytes were changed meanwhile begins again", async () => {
    await mkdir(cacheOf(NAME, "blobs"), { recursive: true });
    const partial = cacheOf(NAME, "blobs", `${sha256(WEIGHTS.bytes)}.internvl-incomplete`);
    await writeFile(partial, Buffer.alloc(5000));
    expect(await hasWeights(await download())).toBe(true);
  });

  test("begins again where the hub knows no ranges", async () => {
    await mkdir(cacheOf(NAME, "blobs"), { recursive: true });
    await writeFile(
      cacheOf(NAME, "blobs", `${sha256(WEIGHTS.bytes)}.internvl-incomplete`),
      WEIGHTS.bytes.subarray(0, 9),
    );
    hub.intercept = ({ host }, response) => {
      if (host === "cdn") response.end(WEIGHTS.bytes);
      return host === "cdn";
    };
    expect(await hasWeights(await download())).toBe(true);
  });

  test("two at once download each file once", async () => {
    const phases = new Set<string>();
    const onProgress = ({ phase }: DownloadProgress) => void phases.add(phase);
    hub.intercept = ({ host }, response) => {
      if (host !== "cdn") return false;
      setTimeout(() => response.end(WEIGHTS.bytes), 1_000);
      return true;
    };
    const paths = await Promise.all([download(NAME, { onProgress }), download(NAME, { onProgress })]);
    expect(new Set(paths).size).toBe(1);
    expect(contentsLog()).toHaveLength(1);
    expect([...phases].sort()).toEqual(["downloading", "waiting"]);
  });
});

describe("without the hub", () => {
  test("the model of the last time is used, and that is said", async () => {
    const path = await download();
    hub.commit = "f".repeat(40);
    hub.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    const notes: string[] = [];
    expect(await download(NAME, { onNote: (note) => notes.push(note) })).toBe(path);
    expect(notes).toEqual([
      expect.stringMatching(/^OpenGVLab\/InternVL3-1B: the hub is not there .*last time$/),
    ]);
  });

  test("offline only what is whole is used, and nobody is asked", async () => {
    const environment = { HF_HOME: folder.path, HF_ENDPOINT: hub.url, HF_HUB_OFFLINE: "1" };
    const message = /InternVL3-1B: not complete in the cache .*offline .*run it once online/;
    await expect(download(NAME, { offline: true })).rejects.toThrow(message);
    await expect(download(NAME, { environment })).rejects.toThrow(message);
    expect(hub.log).toEqual([]);
    const path = await download();
    const sharded = await download("a/sharded");
    hub.log.length = 0;
    expect(await download(NAME, { environment })).toBe(path);
    expect(await download("a/sharded", { offline: true })).toBe(sharded);
    expect(hub.log).toEqual([]);
  });
});
