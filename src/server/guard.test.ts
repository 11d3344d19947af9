import { Hono } from "hono";
import { expect, test } from "vitest";
import { hostName, isLoopback, sameOriginOnly } from "./guard.ts";
import { toHttpError } from "./http-error.ts";

test.each([
  ["localhost", true],
  ["127.0.0.1", true],
  ["127.8.8.8", true],
  ["[::1]", true],
  ["app.localhost", true],
  ["127.0.0.1.evil.example", false],
  ["localhost.evil.example", false],
  ["0.0.0.0", false],
  ["192.168.1.2", false],
])("%s means this machine: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

test("the host of a header", () => {
  expect(hostName("LocalHost:4747")).toBe("localhost");
  expect(hostName("[::1]:4747")).toBe("[::1]");
  expect(hostName("a@b")).toBeUndefined();
  expect(hostName("")).toBeUndefined();
});

async function status(
  headers: Record<string, string>,
  options: { loopback?: boolean; names?: string[]; path?: string; allowed?: string } = {},
): Promise<number> {
  const app = new Hono();
  app.onError((error, c) => c.text(error.message, toHttpError(error).status as 500));
  app.use(
    sameOriginOnly({
      loopback: options.loopback ?? true,
      names: options.names ?? [],
      allows: (origin, path) => origin === options.allowed && path.startsWith("/v1/"),
    }),
  );
  app.get("*", (c) => c.text("ok"));
  return (await app.request(options.path ?? "/api/x", { headers })).status;
}

test("a foreign name that points at this machine is refused", async () => {
  expect(await status({ host: "evil.example:4747" })).toBe(403);
  expect(await status({ host: "127.0.0.1.evil.example" })).toBe(403);
  expect(await status({ host: "localhost:4747" })).toBe(200);
  // The loopback server is not known under the machine's other addresses, an open one is.
  expect(await status({ host: "192.168.1.2:4747" })).toBe(403);
  expect(await status({ host: "192.168.1.2:4747" }, { loopback: false })).toBe(200);
  expect(await status({ host: "nas.local" }, { loopback: false })).toBe(403);
  expect(await status({ host: "nas.local" }, { loopback: false, names: ["NAS.local"] })).toBe(200);
  // A proxy on this machine may pass its own name on.
  expect(await status({ host: "nas.local" }, { names: ["NAS.local"] })).toBe(200);
});

test("another origin is refused, also one that only differs in its port", async () => {
  const host = "localhost:4747";
  expect(await status({ host, origin: "http://localhost:4747" })).toBe(200);
  expect(await status({ host, origin: "http://localhost:8080" })).toBe(403);
  expect(await status({ host, origin: "https://evil.example" })).toBe(403);
  expect(await status({ host, origin: "null" })).toBe(403);
});

test("cross-site requests are refused, links to the page are not", async () => {
  const host = "localhost:4747";
  expect(await status({ host, "sec-fetch-site": "cross-site" })).toBe(403);
  expect(await status({ host, "sec-fetch-site": "same-site" })).toBe(403);
  expect(await status({ host, "sec-fetch-site": "same-origin" })).toBe(200);
  const link = { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
  expect(await status(link, { path: "/" })).toBe(200);
  expect(await status(link)).toBe(403);
});

test("a page of an origin that is allowed reaches what it is allowed to", async () => {
  const host = "localhost:4747";
  const allowed = "https://app.example";
  const page = { host, origin: allowed, "sec-fetch-site": "cross-site" };
  expect(await status(page, { allowed, path: "/v1/models" })).toBe(200);
  expect(await status(page, { allowed, path: "/api/x" })).toBe(403);
  expect(await status({ ...page, origin: "https://evil.example" }, { allowed, path: "/v1/models" })).toBe(
    403,
  );
  expect(await status({ ...page, host: "evil.example" }, { allowed, path: "/v1/models" })).toBe(403);
  const { origin: _, ...image } = page;
  expect(await status(image, { allowed, path: "/v1/models" })).toBe(403);
});
