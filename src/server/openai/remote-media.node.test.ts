import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { isPublicAddress } from "./public-address.ts";
import { fetchMedia, isListed, type Network } from "./remote-media.node.ts";

let servers: Server[] = [];
afterEach(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  servers = [];
});

/** A public address that nothing is ever sent to: the connection goes to the local server instead. */
const PUBLIC = "8.8.8.8";

interface World {
  readonly network: Network;
  /** Addresses that were dialled, with ports. */
  readonly dialled: string[];
  readonly resolved: string[];
}

async function world(
  names: Readonly<Record<string, readonly string[]>>,
  listener: RequestListener,
): Promise<World> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const dialled: string[] = [];
  const resolved: string[] = [];
  return {
    dialled,
    resolved,
    network: {
      async resolve(name) {
        resolved.push(name);
        return names[name] ?? [];
      },
      connect(address, wanted) {
        dialled.push(`${address}:${wanted}`);
        return connect(port, "127.0.0.1");
      },
    },
  };
}

const get = async (url: string, network: Network, over: object = {}) => {
  const chunks: Uint8Array[] = [];
  await fetchMedia(url, {
    kind: "picture",
    take: (chunk) => void chunks.push(chunk),
    hosts: ["img.example", "*.cdn.example", "port.example:8080", "8.8.4.4", "10.0.0.1", "[::1]"],
    maxBytes: 1000,
    timeoutMs: 5000,
    signal: new AbortController().signal,
    network,
    ...over,
  });
  return Buffer.concat(chunks);
};

test("the bytes come from the address that was checked, and the host is asked by its name", async () => {
  let asked = "";
  const { network, dialled, resolved } = await world({ "img.example": [PUBLIC] }, (request, response) => {
    asked = `${request.headers.host}${request.url} ${request.headers["accept-encoding"]}`;
    response.setHeader("content-type", "text/html");
    response.end("bytes");
  });
  expect(new TextDecoder().decode(await get("http://IMG.example/a%20b?c=d#e", network))).toBe("bytes");
  expect(asked).toBe("img.example/a%20b?c=d identity");
  expect([resolved, dialled]).toEqual([["img.example"], [`${PUBLIC}:80`]]);
});

test.each([
  ["http://other.example/", /other.example is not on the list/],
  ["http://img.example:81/", /is not on the list/],
  ["http://port.example/", /is not on the list/],
  ["http://cdn.example/", /is not on the list/],
  ["http://evilcdn.example/", /is not on the list/],
  ["ftp://img.example/", /expected an http or https address/],
  ["file:///etc/passwd", /expected an http or https address/],
  ["//img.example/", /expected an http or https address/],
  ["http://user:word@img.example/", /user name or password/],
  ["http://10.0.0.1/", /not at a public address/],
  ["http://0x0a000001/", /not at a public address/],
  ["http://[::1]/", /is not on the list|not at a public address/],
  ["http://img.example/", /not at a public address/],
  ["http://a.cdn.example/", /not at a public address/],
])("%s is refused before anything is dialled", async (url, message) => {
  // One private address among public ones, and a name without any.
  const names = { "img.example": [PUBLIC, "192.168.1.1"], "a.cdn.example": [] };
  const { network, dialled } = await world(names, (_, response) => response.end("no"));
  await expect(get(url, network)).rejects.toMatchObject({
    status: 400,
    message: expect.stringMatching(message),
  });
  expect(dialled).toEqual([]);
});

test("redirects are followed three times and checked each time", async () => {
  const names = {
    "img.example": [PUBLIC],
    "x.cdn.example": ["8.8.4.4"],
    "in.cdn.example": ["169.254.169.254"],
  };
  const { network, dialled } = await world(names, ({ url, headers }, response) => {
    const next: Record<string, string> = {
      "/1": "/2",
      "/2": "//x.cdn.example/3",
      "/3": "http://img.example/end",
      "/loop": "/loop",
      "/in": "http://in.cdn.example/",
      "/out": "http://other.example/",
      "/file": "file:///etc/passwd",
      "/literal": "http://127.0.0.1/",
    };
    const location = next[url!];
    if (location) response.writeHead(302, { location });
    response.end(headers.host);
  });
  expect(new TextDecoder().decode(await get("http://img.example/1", network))).toBe("img.example");
  expect(dialled).toEqual([`${PUBLIC}:80`, `${PUBLIC}:80`, "8.8.4.4:80", `${PUBLIC}:80`]);
  await expect(get("http://img.example/loop", network)).rejects.toThrow(/more than 3 redirects/);
  dialled.length = 0;
  await expect(get("http://img.example/in", network)).rejects.toThrow(
    /in.cdn.example is not at a public address/,
  );
  await expect(get("http://img.example/out", network)).rejects.toThrow(/other.example is not on the list/);
  await expect(get("http://img.example/file", network)).rejects.toThrow(/expected an http or https address/);
  await expect(get("http://img.example/literal", network)).rejects.toThrow(/not on the list/);
  expect(dialled).toEqual([`${PUBLIC}:80`, `${PUBLIC}:80`, `${PUBLIC}:80`, `${PUBLIC}:80`]);
});

test("too many bytes are refused, announced or not, and no more are read", async () => {
  let sent = 0;
  const { network } = await world({ "img.example": [PUBLIC] }, (request, response) => {
    if (request.url === "/said") response.setHeader("content-length", "1001");
    const more = () => {
      sent += 500;
      if (response.writable && sent < 1e8) response.write(Buffer.alloc(500), more);
    };
    more();
  });
  await expect(get("http://img.example/said", network)).rejects.toMatchObject({ status: 413 });
  await expect(get("http://img.example/unsaid", network)).rejects.toMatchObject({ status: 413 });
  expect(sent).toBeLessThan(1e8);
});

test("answers that are none, and no answers", async () => {
  const { network } = await world({ "img.example": [PUBLIC] }, (request, response) => {
    if (request.url === "/missing") response.writeHead(404).end("no");
    if (request.url === "/nowhere") response.writeHead(302).end();
    if (request.url === "/cut") request.socket.destroy();
    // Anything else is never answered.
  });
  await expect(get("http://img.example/missing", network)).rejects.toThrow(/answers with status 404/);
  await expect(get("http://img.example/nowhere", network)).rejects.toThrow(/redirects to nowhere/);
  await expect(get("http://img.example/cut", network)).rejects.toThrow(/could not be downloaded/);
  await expect(get("http://img.example/", network, { timeoutMs: 50 })).rejects.toThrow(
    /did not come within 50 ms/,
  );
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 20);
  await expect(get("http://img.example/", network, { signal: abort.signal })).rejects.toMatchObject({
    name: "AbortError",
  });
  const silent: Network = { ...network, resolve: () => new Promise(() => {}) };
  await expect(get("http://img.example/", silent, { timeoutMs: 50 })).rejects.toThrow(/did not come within/);
});

test("https is spoken to the checked address", async () => {
  let first: number | undefined;
  const plainText = createServer();
  servers.push(plainText);
  plainText.on("connection", (socket) =>
    socket.once("data", (bytes: Buffer) => {
      first = bytes[0];
      socket.destroy();
    }),
  );
  await new Promise<void>((resolve) => plainText.listen(0, "127.0.0.1", resolve));
  const { port } = plainText.address() as AddressInfo;
  const dialled: string[] = [];
  const network: Network = {
    resolve: async () => [PUBLIC],
    connect(address, wanted) {
      dialled.push(`${address}:${wanted}`);
      return connect(port, "127.0.0.1");
    },
  };
  await expect(get("https://img.example/", network)).rejects.toThrow(/could not be downloaded/);
  // 22: a TLS handshake record.
  expect([first, dialled]).toEqual([22, [`${PUBLIC}:443`]]);
});

test("entries of the list", () => {
  const listed = (url: string, ...hosts: string[]) => isListed(new URL(url), hosts);
  expect(listed("http://a.b.example/", "*.b.example")).toBe(true);
  expect(listed("http://b.example./", "B.example")).toBe(true);
  expect(listed("https://b.example:8443/", "b.example:8443")).toBe(true);
  expect(listed("http://.b.example/", "*.b.example")).toBe(false);
  expect(listed("http://b.example.evil/", "b.example")).toBe(false);
});

test.each([
  ["8.8.8.8", true],
  ["2606:4700::1111", true],
  ["0.0.0.0", false],
  ["10.1.2.3", false],
  ["100.64.0.1", false],
  ["100.128.0.1", true],
  ["127.255.0.1", false],
  ["169.254.169.254", false],
  ["172.16.0.1", false],
  ["172.32.0.1", true],
  ["192.168.0.1", false],
  ["198.19.0.1", false],
  ["203.0.113.9", false],
  ["224.0.0.1", false],
  ["255.255.255.255", false],
  ["::", false],
  ["::1", false],
  ["::ffff:8.8.8.8", false],
  ["::ffff:127.0.0.1", false],
  ["64:ff9b::7f00:1", false],
  ["fc00::1", false],
  ["fe80::1", false],
  ["fe80::1%eth0", false],
  ["ff02::1", false],
  ["2001::1", false],
  ["2001:db8::1", false],
  ["2002:7f00:1::", false],
  ["img.example", false],
])("%s is public: %s", (address, expected) => {
  expect(isPublicAddress(address)).toBe(expected);
});
