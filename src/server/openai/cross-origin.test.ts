import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestLibrary, testApp, testLibrary } from "../test-support.ts";
import { fakeChatModel } from "./fake-chat-model.test-support.ts";

let library: TestLibrary;
beforeAll(async () => {
  library = await testLibrary({ colours: [] });
});
afterAll(() => library[Symbol.asyncDispose]());

const ORIGIN = "https://app.example";
const CHAT = "/v1/chat/completions";

const appWith = (allowOrigins: readonly string[]) =>
  testApp(library.library, {
    chatModels: new Map([["fake", fakeChatModel()]]),
    apiKeys: ["k"],
    allowOrigins,
  });

const preflight = (origin: string) => ({
  method: "OPTIONS",
  headers: {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
  },
});

const ask = (origin: string, key: string) => ({
  method: "POST",
  headers: { origin, "content-type": "application/json", authorization: `Bearer ${key}` },
  body: JSON.stringify({ model: "fake", messages: [{ role: "user", content: "hi" }] }),
});

test("a page of an allowed origin asks whether it may, and asks; its errors can be read too", async () => {
  const app = appWith([ORIGIN]);
  const asked = await app.request(CHAT, preflight(ORIGIN));
  expect([asked.status, await asked.text()]).toEqual([204, ""]);
  expect(Object.fromEntries(asked.headers)).toMatchObject({
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "authorization,content-type,x-stainless-os",
    "access-control-max-age": "600",
    vary: expect.stringContaining("Origin"),
  });
  for (const [key, status] of [
    ["k", 200],
    ["wrong", 401],
  ] as const) {
    const response = await app.request(CHAT, ask(ORIGIN, key));
    expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([status, ORIGIN]);
    expect(response.headers.get("access-control-expose-headers")).toBe("X-Request-Id,Retry-After");
    expect(response.headers.get("x-request-id")).toMatch(/./);
  }
});

test("other origins, other addresses and servers that allow none refuse", async () => {
  const refused = async (app: ReturnType<typeof appWith>, path: string, init: RequestInit) => {
    const response = await app.request(path, init);
    return [response.status, response.headers.get("access-control-allow-origin")];
  };
  const app = appWith([ORIGIN]);
  for (const other of ["https://evil.example", "http://app.example", "https://app.example:8443", "null"]) {
    expect(await refused(app, CHAT, preflight(other))).toEqual([403, null]);
    expect(await refused(app, CHAT, ask(other, "k"))).toEqual([403, null]);
  }
  expect(await refused(app, "/api/status", { headers: { origin: ORIGIN } })).toEqual([403, null]);
  expect(await refused(app, "/metrics", { headers: { origin: ORIGIN } })).toEqual([403, null]);
  expect(await refused(appWith([]), CHAT, preflight(ORIGIN))).toEqual([403, null]);
  expect(await refused(appWith(["*"]), CHAT, ask("https://any.example", "k"))).toEqual([
    200,
    "https://any.example",
  ]);
});

test("a request is called as its client says, or gets a name", async () => {
  const app = appWith([]);
  const id = async (given: Record<string, string>) =>
    (await app.request("/v1/models", { headers: given })).headers.get("x-request-id")!;
  expect(await id({ "x-request-id": "abc-1" })).toBe("abc-1");
  expect(await id({ "x-request-id": "a b\u00ff" })).toMatch(/^[0-9a-f-]{36}$/);
  expect(await id({})).not.toBe(await id({}));
});

test("the log is told which request failed, at once and in a stream", async () => {
  const told: unknown[] = [];
  const failure = new Error("no file");
  const broken = {
    ...fakeChatModel(),
    async *chat() {
      yield { index: 0, text: "so far", thinking: "", tokens: [] };
      throw failure;
    },
  };
  const app = testApp(library.library, {
    chatModels: new Map([["broken", broken]]),
    onDefect: (error, requestId) => told.push([error, requestId]),
  });
  for (const stream of [false, true]) {
    const response = await app.request(CHAT, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": `stream-${stream}` },
      body: JSON.stringify({ model: "broken", messages: [{ role: "user", content: "hi" }], stream }),
    });
    await response.text();
  }
  expect(told).toEqual([
    [failure, "stream-false"],
    [failure, "stream-true"],
  ]);
});
