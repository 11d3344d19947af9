import { mkdir, readdir, symlink } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fail, gitHash, type HubRequest, type HubServer, sha256, startHub } from "../../test/hub-server.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { isUserError } from "../core/errors.ts";
import { downloadModel } from "./download-model.node.ts";

/** What a user reads when a model cannot be had, and what a hub cannot do that is none. */

const WEIGHTS = Buffer.alloc(50_000, 7);
const text = (content: string) => ({ bytes: Buffer.from(content), lfs: false });
const NAME = "OpenGVLab/InternVL3-1B";
const REPOSITORIES = new Map([
  [
    NAME,
    new Map([
      ["config.json", text("{}")],
      ["model.safetensors", { bytes: WEIGHTS, lfs: true }],
      ["tokenizer.json", text("{}")],
    ]),
  ],
  ["a/quants", new Map([["m-Q4.gguf", text("x")]])],
  ["a/empty", new Map([["README.md", text("#")]])],
  ["a/lost", new Map([["model.safetensors.index.json", text('{"weight_map":{"w":"model-1.safetensors"}}')]])],
  [
    "a/leaves",
    new Map([["model.safetensors.index.json", text('{"weight_map":{"w":"../../../../x.safetensors"}}')]]),
  ],
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

const blobs = () => join(folder.path, "cache", "models--OpenGVLab--InternVL3-1B", "blobs");
const partial = () => join(blobs(), `${sha256(WEIGHTS)}.internvl-incomplete`);

/** The message that a download ends with. */
async function failure(name: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const environment = {
    HF_HOME: folder.path,
    HF_HUB_CACHE: join(folder.path, "cache"),
    HF_ENDPOINT: hub.url,
    ...env,
  };
  const error: unknown = await downloadModel(name, { environment, timeoutMs: 500, retryMs: 1 }).then(
    (path) => new Error(`it was downloaded to ${path}`),
    (reason) => reason,
  );
  expect(error).toSatisfy(isUserError);
  return (error as Error).message;
}

const TOKEN = { HF_TOKEN: "hf_x" };

describe("says what to do about", () => {
  test.each<[string, string, RegExp, Record<string, string>?]>([
    [
      "a name that is none",
      "InternVL3-1B",
      /^InternVL3-1B: expected a model's name on the hub as OWNER\/NAME/,
    ],
    [
      "an unknown model",
      "OpenGVLab/InternVL3-1C",
      /no such file or folder here, and no public model of this name at http.*did you mean OpenGVLab\/InternVL3-1[AB].*HF_TOKEN/,
    ],
    ["an unknown model, with a token", "x/y", /no public model.*out of your token's reach/, TOKEN],
    [
      "an unknown revision",
      `${NAME}@v9`,
      /it has no branch, tag or commit v9; http.*\/tree\/main lists them/,
    ],
    [
      "a repository of several models",
      "a/quants",
      /found no single model.*name one of its files: a\/quants\/m-Q4\.gguf$/,
    ],
    ["a file that is not there", "a/quants/m.gguf", /found no file m\.gguf.*: a\/quants\/m-Q4\.gguf$/],
    ["a repository without weights", "a/empty", /it holds no weights that can be read/],
    ["shards that are not there", "a/lost", /names 1 files that the repository does not have.*model-1/],
    [
      "an endpoint that is none",
      NAME,
      /^HF_ENDPOINT: expected the http or https address/,
      { HF_ENDPOINT: "ftp://x" },
    ],
    [
      "a name server that does not know the hub",
      NAME,
      /no such file or folder here, and the hub at http:\/\/hub\.invalid cannot be reached \(hub\.invalid: (ENOTFOUND|EAI_AGAIN)\); check the connection/,
      { HF_ENDPOINT: "http://hub.invalid" },
    ],
    [
      "a hub that is not there",
      NAME,
      /cannot be reached \(127\.0\.0\.1:1: /,
      { HF_ENDPOINT: "http://127.0.0.1:1" },
    ],
  ])("%s", async (_, name, message, env) => {
    expect(await failure(name, env)).toMatch(message);
  });

  test.each<[string, number, string, RegExp, Record<string, string>?]>([
    ["terms that are not accepted", 401, "GatedRepo", /asks for consent.*accept the terms at http.*HF_TOKEN/],
    ["terms of another account", 403, "GatedRepo", /your token may not read it yet; accept the terms/, TOKEN],
    ["a wrong token", 401, "", /does not know your token \(told\); set HF_TOKEN to a valid one/, TOKEN],
    ["a token without rights", 403, "", /your token may not read it \(told\)/, TOKEN],
    ["too many requests", 429, "", /too many requests from here \(told\); try again in some minutes/],
    ["a hub that is broken", 503, "", /answers with status 503 \(told\); try again later/],
  ])("%s", async (_, status, code, message, env) => {
    hub.intercept = ({ path }, response) => {
      if (!path.includes("/resolve/")) return false;
      fail(response, status, code, "told");
      return true;
    };
    expect(await failure(NAME, env)).toMatch(message);
  });

  test("a disk that gets full", async () => {
    // Whatever is written there finds no room.
    await mkdir(blobs(), { recursive: true });
    await symlink("/dev/full", partial());
    expect(await failure(NAME)).toMatch(/the disk is full; make room and run the same command again/);
  });

  test("a disk that has too little room", async () => {
    hub.intercept = tree([
      entry("config.json", 2),
      large("model.safetensors", 2 ** 50),
      entry("tokenizer.json", 2),
    ]);
    expect(await failure(NAME)).toMatch(
      /1,073,741,825 MiB are to be downloaded, and the disk of .* has [\d,]+ MiB free/,
    );
    expect(hub.log.filter((line) => line.includes("/resolve/"))).toEqual([]);
  });
});

const entry = (path: string, size: number) => ({ type: "file", oid: gitHash(Buffer.from("{}")), size, path });
const large = (path: string, size: number, oid = sha256(WEIGHTS)) => ({
  ...entry(path, 134),
  lfs: { oid, size, pointerSize: 134 },
});

type Intercept = (request: HubRequest, response: ServerResponse) => boolean;

/** Answers with other listings than the repository's. */
const tree =
  (entries: unknown): Intercept =>
  ({ path }, response) => {
    if (!path.includes("/tree/")) return false;
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(entries));
    return true;
  };
/** Answers for the contents of large files. */
const contents =
  (send: (response: ServerResponse) => void): Intercept =>
  ({ host }, response) => {
    if (host === "cdn") send(response);
    return host === "cdn";
  };
const redirects =
  (location: string): Intercept =>
  ({ path }, response) => {
    if (!path.includes("/resolve/")) return false;
    response.writeHead(302, { Location: location });
    response.end();
    return true;
  };

describe("a hub that is none", () => {
  test.each<[string, Intercept, RegExp]>([
    [
      "sends other contents",
      contents((r) => r.end(Buffer.alloc(50_000, 8))),
      /expected contents with sha256 \w+, found/,
    ],
    [
      "sends more than announced",
      contents((r) => r.end(Buffer.alloc(50_001, 7))),
      /sends more than the 50000 bytes/,
    ],
    [
      "always sends less",
      contents((r) => r.end(Buffer.alloc(0))),
      /cannot be reached \(127\.0\.0\.1:\d+ closed the connection\)/,
    ],
    [
      "stops in the middle",
      contents((r) => {
        r.writeHead(200, { "Content-Length": 50_000 });
        r.write(WEIGHTS.subarray(0, 10));
      }),
      /sent nothing for 0\.5 s/,
    ],
    ["never answers", () => true, /sent nothing for 0\.5 s/],
    [
      "answers another range",
      ({ host }, r) => {
        if (host === "cdn") {
          r.writeHead(206, { "Content-Range": "bytes 5-9/50000" });
          r.end("12345");
        }
        return host === "cdn";
      },
      /answers bytes 5 where those from 0 were asked/,
    ],
    ["redirects to a file", redirects("file:///etc/passwd"), /leads to file:\/\/, which is not https/],
    ["redirects to nowhere", redirects("http://["), /redirects to nowhere/],
    ["redirects in a circle", redirects(`/${NAME}/resolve/main/config.json`), /more than 5 redirects/],
    [
      "lists what is no file",
      tree([{ type: "file", path: "config.json", size: -1, oid: "x" }]),
      /describes a file in an unknown way/,
    ],
    [
      "lists a hash that is a path",
      tree([large("model.safetensors", 9, "../../x")]),
      /describes a file in an unknown way/,
    ],
    [
      "has an enormous configuration",
      tree([entry("config.json", 2 ** 40), large("model.safetensors", 9)]),
      /config\.json has 1099511627776 bytes, at most/,
    ],
    [
      "answers without end",
      ({ path }, r) => {
        if (!path.includes("/tree/")) return false;
        const more = () => (r.write(Buffer.alloc(1 << 20, 32)) ? setImmediate(more) : r.once("drain", more));
        more();
        return true;
      },
      /answers with more than \d+ bytes where a list is expected/,
    ],
    [
      "lists without end",
      ({ path, headers }, r) => {
        if (!path.includes("/tree/")) return false;
        r.writeHead(200, {
          "Content-Type": "application/json",
          Link: `<http://${headers.host}${path}>; rel="next"`,
        });
        r.end("[]");
        return true;
      },
      /lists files on more than 50 pages/,
    ],
    [
      "has a commit that is a path",
      ({ path }, r) => {
        if (!path.includes("/revision/")) return false;
        r.setHeader("Content-Type", "application/json");
        r.end(JSON.stringify({ id: NAME, sha: "../../../x" }));
        return true;
      },
      /describes the commit in an unknown way/,
    ],
  ])("that %s", async (_, intercept, message) => {
    hub.intercept = intercept;
    expect(await failure(NAME)).toMatch(message);
    const found = await readdir(blobs()).catch(() => []);
    expect(found.filter((name) => name === sha256(WEIGHTS))).toEqual([]);
  });

  test("whose file names lead elsewhere puts nothing there", async () => {
    hub.intercept = tree([
      ...["../../../../x.safetensors", "/tmp/x.safetensors", "C:\\x.safetensors", "..\\x.bin"].map((path) =>
        large(path, 9),
      ),
      entry("config.json", 2),
    ]);
    expect(await failure(NAME)).toMatch(/found no single model/);
    hub.intercept = undefined;
    expect(await failure("a/leaves")).toMatch(/shards must be \.safetensors files in the index's own folder/);
    expect((await readdir(folder.path)).sort()).toEqual(["cache"]);
    expect(hub.log.filter((line) => line.includes("x.safetensors"))).toEqual([]);
  });

  test("on https does not lead to http", async () => {
    const { hubFetch } = await import("./hub-fetch.node.ts");
    const fetch = hubFetch({
      endpoint: "https://hub.example",
      token: "t",
      proxies: () => () => undefined,
      timeoutMs: 500,
      signal: undefined,
    });
    await expect(fetch(`${hub.url}/x`)).rejects.toThrow(/leads to http:\/\/127.* which is not https/);
    expect(hub.log).toEqual([]);
  });
});
