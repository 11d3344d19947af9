import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startHub } from "../../test/hub-server.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { UsageError } from "../core/errors.ts";
import { downloadModel } from "./download-model.node.ts";
import { proxiesOf } from "./proxy.node.ts";

describe("an address is asked", () => {
  const P = "http://proxy:3128";
  test.each<[string, Record<string, string>, string, string | undefined]>([
    ["directly where nothing is said", {}, "https://huggingface.co/x", undefined],
    ["through the proxy of its protocol", { HTTPS_PROXY: P }, "https://huggingface.co/x", P],
    ["not through that of another", { HTTPS_PROXY: P }, "http://huggingface.co/x", undefined],
    ["through the one for all", { ALL_PROXY: P }, "http://huggingface.co/x", P],
    ["by the name in lower case first", { https_proxy: P, HTTPS_PROXY: "http://other:1" }, "https://a.b/", P],
    ["through a proxy without its protocol", { HTTPS_PROXY: "proxy:3128" }, "https://a.b/", P],
    ["directly where it is listed", { HTTPS_PROXY: P, NO_PROXY: "x.y, a.b" }, "https://a.b/", undefined],
    ["directly below what is listed", { HTTPS_PROXY: P, NO_PROXY: "a.b" }, "https://hub.a.b/", undefined],
    [
      "directly below what begins with a dot",
      { HTTPS_PROXY: P, no_proxy: ".a.b" },
      "https://hub.a.b/",
      undefined,
    ],
    ["through it where the name only ends alike", { HTTPS_PROXY: P, NO_PROXY: "a.b" }, "https://hub-a.b/", P],
    ["through it at another port", { HTTPS_PROXY: P, NO_PROXY: "a.b:8443" }, "https://a.b/", P],
    ["directly at the port", { HTTPS_PROXY: P, NO_PROXY: "a.b:443" }, "https://a.b/", undefined],
    ["directly where all are", { HTTPS_PROXY: P, NO_PROXY: "*" }, "https://a.b/", undefined],
    ["directly on this machine", { ALL_PROXY: P }, "http://127.0.0.1:8080/", undefined],
    ["directly with a dot at its end", { HTTPS_PROXY: P, NO_PROXY: "a.b." }, "https://x.a.b./", undefined],
    ["directly by IPv6", { HTTPS_PROXY: P, NO_PROXY: "2001:db8::1" }, "https://[2001:db8::1]/", undefined],
    ["through it where a star is not before a dot", { HTTPS_PROXY: P, NO_PROXY: "*b" }, "https://a.b/", P],
    ["directly on this machine by IPv6", { ALL_PROXY: P }, "http://[::1]:8080/", undefined],
  ])("%s", (_, environment, url, expected) => {
    expect(proxiesOf(environment)(new URL(url))).toBe(expected);
  });

  test.each(["socks5://proxy:1080", "http://", "http://user:secret@", "user:sec/ret@proxy:1"])(
    "not through %s",
    (proxy) => {
      const choosing = () => proxiesOf({ HTTPS_PROXY: proxy });
      expect(choosing).toThrow(UsageError);
      expect(choosing).toThrow(/HTTPS_PROXY: expected the address of a proxy as http:\/\/HOST:PORT/);
      expect(choosing).not.toThrow(/sec\/?ret/);
    },
  );
});

test("a model comes through a proxy that asks who one is; the token goes to the hub alone", async () => {
  await using folder = await temporaryFolder();
  const bytes = Buffer.from("weights");
  const files = new Map([
    ["config.json", { bytes: Buffer.from("{}"), lfs: false }],
    ["model.safetensors", { bytes, lfs: true }],
  ]);
  await using hub = await startHub(new Map([["a/model", files]]));
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer();
  proxy.on("connect", (request: IncomingMessage, socket: Socket) => {
    seen.push(`${request.url} ${request.headers["proxy-authorization"]} ${request.headers.authorization}`);
    const upstream = connect(Number(new URL(hub.url).port), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    for (const s of [socket, upstream]) sockets.add(s.on("error", () => {}));
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  try {
    const path = await downloadModel("a/model", {
      environment: {
        HOME: folder.path,
        HF_ENDPOINT: "http://hub.test",
        HF_TOKEN: "hf_secret",
        HTTP_PROXY: `http://me:pass@127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      },
      timeoutMs: 5_000,
    });
    expect(await readFile(join(path, "model.safetensors"))).toEqual(bytes);
    const basic = `Basic ${Buffer.from("me:pass").toString("base64")}`;
    expect(new Set(seen)).toEqual(new Set([`hub.test:80 ${basic} undefined`]));
    expect(hub.tokens).toContain("Bearer hf_secret");
  } finally {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  }
});

test("a proxy that does not answer is named, and not asked offline", async () => {
  await using folder = await temporaryFolder();
  const environment = { HOME: folder.path, HTTPS_PROXY: "http://me:pass@127.0.0.1:1" };
  const options = { environment, timeoutMs: 2_000, retryMs: 1 };
  const failing = downloadModel("a/model", options);
  await expect(failing).rejects.toThrow(/huggingface\.co: through the proxy 127\.0\.0\.1:1: ECONNREFUSED/);
  await expect(failing).rejects.not.toThrow(/pass/);
  const offline = downloadModel("a/model", {
    ...options,
    environment: { ...environment, HTTPS_PROXY: "socks5://x" },
    offline: true,
  });
  await expect(offline).rejects.not.toThrow(/HTTPS_PROXY/);
});
